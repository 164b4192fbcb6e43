package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"sigs.k8s.io/yaml"
)

var protobufSerializer = protobuf.NewSerializer(nil, nil)

// Encode writes obj, whose TypeMeta is set, in one of the three media types.
func Encode(w io.Writer, media string, obj runtime.Object) error {
	switch media {
	case Protobuf:
		return protobufSerializer.Encode(obj, w)
	case YAML:
		doc, err := yaml.Marshal(obj)
		if err != nil {
			return fmt.Errorf("encode %T as YAML: %w", obj, err)
		}
		_, err = w.Write(doc)
		return err
	}
	return json.NewEncoder(w).Encode(obj)
}

// Stream writes the events of a watch.
type Stream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
	media string
}

// NewStream starts the response of a watch: the header goes out at once. YAML has no stream.
func NewStream(w http.ResponseWriter, f Format) (*Stream, error) {
	contentType := JSON
	switch f.Media {
	case JSON:
	case Protobuf:
		contentType = Protobuf + ";stream=watch"
	default:
		return nil, NotAcceptable()
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	s := &Stream{w: w, flush: http.NewResponseController(w), media: f.Media}
	return s, s.Flush()
}

// Send writes one event ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"). Call Flush after a run of them.
func (s *Stream) Send(event string, obj runtime.Object) error {
	if s.media == Protobuf {
		return s.sendProtobuf(event, obj)
	}
	return json.NewEncoder(s.w).Encode(&metav1.WatchEvent{Type: event, Object: runtime.RawExtension{Object: obj}})
}

// sendProtobuf frames a WatchEvent by its length. The event is a bare message, the object inside a whole document.
func (s *Stream) sendProtobuf(event string, obj runtime.Object) error {
	doc, err := runtime.Encode(protobufSerializer, obj)
	if err != nil {
		return err
	}
	message, err := (&metav1.WatchEvent{Type: event, Object: runtime.RawExtension{Raw: doc}}).Marshal()
	if err != nil {
		return fmt.Errorf("encode a watch event: %w", err)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(message)), uint32(len(message)))
	_, err = s.w.Write(append(frame, message...))
	return err
}

// Flush sends what was written.
func (s *Stream) Flush() error { return s.flush.Flush() }
