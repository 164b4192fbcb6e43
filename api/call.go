package api

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/view"
	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

// call is one request for a kind of object.
type call struct {
	*Server
	kind        *kind.Kind
	w           http.ResponseWriter
	r           *http.Request
	now         time.Time
	namespace   string
	name        string
	subresource string
	warnings    []string
}

func (c *call) ctx() context.Context { return c.r.Context() }

func (c *call) key(name string) store.Key {
	return store.Key{Resource: c.kind.Resource(), Namespace: c.namespace, Name: name}
}

func (c *call) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: c.kind.GVK.Group, Resource: c.kind.Plural}
}

// manager is who owns the fields of a write: the name that the client gives, else the first word of its User-Agent.
func (c *call) manager(given string) string {
	if given != "" {
		return given
	}
	const maxLength = 128
	agent, _, _ := strings.Cut(c.r.UserAgent(), "/")
	var out strings.Builder
	for _, char := range agent {
		if !unicode.IsPrint(char) {
			continue
		}
		if out.Len()+len(string(char)) > maxLength {
			break
		}
		out.WriteRune(char)
	}
	if out.Len() == 0 {
		return "unknown"
	}
	return out.String()
}

const metaGroup = "meta.k8s.io"

// format negotiates how an object or a list (with its other views) is answered.
func (c *call) format(list bool) (wire.Format, error) {
	partial := "PartialObjectMetadata"
	if list {
		partial = "PartialObjectMetadataList"
	}
	f, ok := wire.Negotiate(c.r.Header.Get("Accept"), func(f wire.Format) bool {
		switch f.As {
		case "":
			return true
		case "Table":
			return f.Group == metaGroup && f.Version == "v1" && f.Media != wire.Protobuf
		}
		return f.As == partial && f.Group == metaGroup && f.Version == "v1"
	})
	if !ok {
		return f, wire.NotAcceptable()
	}
	return f, nil
}

// acceptable refuses a request whose Accept header no answer would match.
func (c *call) acceptable() error {
	if _, err := c.format(false); err == nil {
		return nil
	}
	_, err := c.format(true)
	return err
}

// includeObject says what of an object goes with its row in a Table.
func (c *call) includeObject() metav1.IncludeObjectPolicy {
	return metav1.IncludeObjectPolicy(c.r.URL.Query().Get("includeObject"))
}

// respond answers with one object of the call's kind.
func (c *call) respond(code int, obj kind.Object) error {
	f, err := c.format(false)
	if err != nil {
		return err
	}
	c.sendWarnings()
	write(c.w, c.r, code, f.Media, c.shape(f, obj))
	return nil
}

// shape is obj in the view that was asked for.
func (c *call) shape(f wire.Format, obj kind.Object) runtime.Object {
	switch f.As {
	case "":
		return obj
	case "Table":
		list := metav1.ListMeta{ResourceVersion: obj.GetResourceVersion()}
		return view.Table(c.kind, []kind.Object{obj}, list, c.includeObject(), c.now)
	}
	return view.Partial(obj)
}

// respondOther answers with an object of another kind, such as a Scale or a Status.
func (c *call) respondOther(code int, obj runtime.Object) error {
	f, ok := wire.Negotiate(c.r.Header.Get("Accept"), func(f wire.Format) bool { return f.As == "" })
	if !ok {
		return wire.NotAcceptable()
	}
	c.sendWarnings()
	write(c.w, c.r, code, f.Media, obj)
	return nil
}

// warn adds a warning, which a header takes only on one line.
func (c *call) warn(text string) {
	c.warnings = append(c.warnings, strings.Join(strings.Fields(text), " "))
}

// maxWarnings bounds the headers that one request can cause.
const maxWarnings = 64

func (c *call) sendWarnings() {
	sent := map[string]bool{}
	for _, text := range c.warnings {
		if sent[text] || len(sent) == maxWarnings {
			continue
		}
		sent[text] = true
		if header, err := utilnet.NewWarningHeader(299, "-", text); err == nil {
			c.w.Header().Add("Warning", header)
		}
	}
}
