package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Document is a protobuf document while its message is being appended: that begins behind room for what comes before it, so that it
// need not be moved.
type Document []byte

// documentHead is more than what comes before the message.
const documentHead = 1 << 10

// NewDocument is a document without a message, which may be of size bytes before more memory is needed.
func NewDocument(size int) Document { return make([]byte, documentHead, documentHead+size+16) }

// Finish returns the whole document of a message of that kind, as Encode would write it.
func (d Document) Finish(gvk schema.GroupVersionKind) []byte {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	meta := appendText(appendText(nil, 1, apiVersion), 2, kind)
	head := appendBytes(append([]byte(nil), protobufMagic...), 1, meta)
	head = protowire.AppendVarint(protowire.AppendTag(head, 2, protowire.BytesType), uint64(len(d)-documentHead))
	whole := d[documentHead-len(head):]
	copy(whole, head)
	return appendText(appendText(whole, 3, ""), 4, "") // what the message is encoded in: nothing
}

// List begins the message of a list.
func (d Document) List(list metav1.ListMeta) (Document, error) {
	meta, err := list.Marshal()
	if err != nil {
		return d, err
	}
	return appendBytes(d, 1, meta), nil
}

// Item appends the message of an object to that of a list.
func (d Document) Item(message []byte) Document { return appendBytes(d, 2, message) }

func appendBytes(b []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), value)
}

func appendText(b []byte, number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), value)
}
