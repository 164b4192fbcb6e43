package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

//go:embed v2.json.gz v2.pb.gz v3/*.json.gz
var files embed.FS

// V3File is the file of a group and version whose path is "api/v1" or "apis/apps/v1".
func V3File(groupVersion string) string {
	return "v3/" + strings.ReplaceAll(groupVersion, "/", "__") + ".json.gz"
}

// documents are the paths ("api/v1") of the group versions that have a v3 document, and their content hashes.
var documents = sync.OnceValue(func() map[string]string {
	found := map[string]string{}
	names, _ := fs.Glob(files, "v3/*.json.gz") // the pattern is well-formed
	for _, name := range names {
		gv := strings.ReplaceAll(strings.TrimSuffix(path.Base(name), ".json.gz"), "__", "/")
		content, _ := files.ReadFile(name) // it was just listed
		sum := sha256.Sum256(content)
		found[gv] = strings.ToUpper(hex.EncodeToString(sum[:]))
	}
	return found
})

// Read is the uncompressed content of an embedded file.
func Read(name string) ([]byte, error) {
	content, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return decompress(content)
}

func decompress(content []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// TypeConverter knows the types of all that is served: how lists are merged, what is atomic. It is made on first use,
// which takes some milliseconds, and then kept.
var TypeConverter = sync.OnceValues(func() (managedfields.TypeConverter, error) {
	schemas := map[string]*spec.Schema{}
	for gv := range documents() {
		content, err := Read(V3File(gv))
		if err != nil {
			return nil, fmt.Errorf("read the OpenAPI document of %s: %w", gv, err)
		}
		var doc struct {
			Components struct {
				Schemas map[string]*spec.Schema `json:"schemas"`
			} `json:"components"`
		}
		if err := json.Unmarshal(content, &doc); err != nil {
			return nil, fmt.Errorf("parse the OpenAPI document of %s: %w", gv, err)
		}
		for name, schema := range doc.Components.Schemas {
			schemas[name] = schema
		}
	}
	return managedfields.NewTypeConverter(schemas, false)
})
