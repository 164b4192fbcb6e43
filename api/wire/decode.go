package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// MaxBody is the largest request body in bytes; more is refused with 413.
const MaxBody = 3 << 20

// protobufMagic starts every Kubernetes protobuf document.
var protobufMagic = []byte("k8s\x00")

// drainBody is how much of a body that is too large is read and dropped, so that the client, still writing, gets to see
// the answer and not a broken connection.
const drainBody = 64 << 20

// ReadBody reads a request's body, up to MaxBody.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("read the request's body: %v", err))
	}
	if len(body) > MaxBody {
		_, _ = io.CopyN(io.Discard, r.Body, drainBody)
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", MaxBody))
	}
	return body, nil
}

// MediaType is the media type of a Content-Type header; without one it is JSON.
func MediaType(contentType string) string {
	if contentType == "" {
		return JSON
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType
	}
	return media
}

// Unsupported is the answer to a Content-Type that is not among accepted: 415.
func Unsupported(accepted ...string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusUnsupportedMediaType,
		Reason:  metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + strings.Join(accepted, ", "),
	}}
}

// NotAcceptable is the answer to an Accept header that nothing served matches: 406.
func NotAcceptable() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusNotAcceptable,
		Reason:  metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: " + strings.Join(MediaTypes, ", "),
	}}
}

// Decode reads body, in the given media type, into an object of kind gvk. strict are unknown and duplicate fields: the
// object is complete without them, and the caller decides what they mean. A body that names another kind is refused.
func Decode(body []byte, media string, gvk schema.GroupVersionKind, into runtime.Object) (strict []error, err error) {
	switch media {
	case Protobuf:
		err = decodeProtobuf(body, gvk, into)
	case JSON:
		strict, err = decodeJSON(body, gvk, into)
	case YAML:
		strict, err = decodeYAML(body, gvk, into)
	default:
		return nil, Unsupported(MediaTypes...)
	}
	if err != nil {
		return nil, err
	}
	if got := into.GetObjectKind().GroupVersionKind(); !got.Empty() && got != gvk {
		return nil, mismatch(got, gvk)
	}
	into.GetObjectKind().SetGroupVersionKind(gvk)
	return strict, nil
}

func mismatch(got, want schema.GroupVersionKind) error {
	if got.GroupVersion() != want.GroupVersion() {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)",
			got.GroupVersion(), want.GroupVersion()))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s", got.Kind, got.Version, want.Kind))
}

func decodeJSON(body []byte, gvk schema.GroupVersionKind, into runtime.Object) ([]error, error) {
	// The kind is looked at first: the fields of another kind would only give confusing errors.
	if err := checkKind(body, gvk); err != nil {
		return nil, err
	}
	strict, err := kjson.UnmarshalStrict(body, into)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", gvk.Kind, gvk.Version, gvk.Kind, err))
	}
	return strict, nil
}

func checkKind(body []byte, gvk schema.GroupVersionKind) error {
	var named metav1.TypeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &named); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: %v (%s)",
			gvk.Kind, err, summary(body)))
	}
	got := named.GroupVersionKind()
	if got.Kind == "" {
		got.Kind = gvk.Kind
	}
	if named.APIVersion == "" {
		got.Group, got.Version = gvk.Group, gvk.Version
	}
	if got != gvk {
		return mismatch(got, gvk)
	}
	return nil
}

// summary quotes the start of a body in an error.
func summary(body []byte) string {
	const length = 30
	if len(body) > length {
		return fmt.Sprintf("%q ...", body[:length])
	}
	return fmt.Sprintf("%q", body)
}

func decodeYAML(body []byte, gvk schema.GroupVersionKind, into runtime.Object) ([]error, error) {
	asJSON, duplicates, err := ToJSON(body)
	if err != nil {
		return nil, err
	}
	strict, err := decodeJSON(asJSON, gvk, into)
	return append(duplicates, strict...), err
}

// ToJSON turns YAML (or JSON, which is YAML) into JSON. duplicates are the keys given twice, of which the last counts.
func ToJSON(body []byte) (asJSON []byte, duplicates []error, err error) {
	asJSON, err = yaml.YAMLToJSONStrict(body)
	if err == nil {
		return asJSON, nil, nil
	}
	lenient, lenientErr := yaml.YAMLToJSON(body)
	if lenientErr != nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", lenientErr))
	}
	return lenient, []error{err}, nil
}

func decodeProtobuf(body []byte, gvk schema.GroupVersionKind, into runtime.Object) error {
	message, ok := into.(interface{ Unmarshal([]byte) error })
	if !ok {
		return Unsupported(JSON, YAML)
	}
	raw, found := bytes.CutPrefix(body, protobufMagic)
	if !found {
		return apierrors.NewBadRequest("the body is not a Kubernetes protobuf document: " + summary(body))
	}
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(raw); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("the body is not a Kubernetes protobuf document: %v", err))
	}
	got := schema.FromAPIVersionAndKind(envelope.APIVersion, envelope.Kind)
	if got.Kind != "" && got != gvk {
		return mismatch(got, gvk)
	}
	if err := message.Unmarshal(envelope.Raw); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", gvk.Kind, gvk.Version, gvk.Kind, err))
	}
	return nil
}

// Strict makes the error that Kubernetes gives for unknown and duplicate fields; nil for none.
func Strict(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errors.New(runtime.NewStrictDecodingError(errs).Error())
}

// Kind is the kind that a body says it is.
func Kind(body []byte, media string) (schema.GroupVersionKind, error) {
	if media == Protobuf {
		var envelope runtime.Unknown
		raw, _ := bytes.CutPrefix(body, protobufMagic)
		err := envelope.Unmarshal(raw)
		return schema.FromAPIVersionAndKind(envelope.APIVersion, envelope.Kind), err
	}
	var named metav1.TypeMeta
	err := yaml.Unmarshal(body, &named) // JSON is YAML
	return named.GroupVersionKind(), err
}
