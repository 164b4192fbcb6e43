// Command dictionary writes version1.bin from objects.json: the stored bytes of typical objects, one after the other, the most
// frequent kind last.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	b, err := os.ReadFile("objects.json")
	if err != nil {
		log.Fatal(err)
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(b, &list); err != nil {
		log.Fatal(err)
	}
	var out bytes.Buffer
	to := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	for _, item := range list.Items {
		obj, gvk, err := scheme.Codecs.UniversalDeserializer().Decode(item, nil, nil)
		if err == nil {
			obj.GetObjectKind().SetGroupVersionKind(*gvk)
			err = to.Encode(obj, &out)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := os.WriteFile("version1.bin", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
