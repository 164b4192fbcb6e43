package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// Config is what a Registry is made of.
type Config struct {
	agent.RegistryConfig
	Content content.Store
	Images  images.Store
	Leases  leases.Manager
	// In gives requests containerd's namespace in which the images of this node's pods are, and InPushed the one for what is pushed:
	// the garbage collection of images has nothing to do with that.
	In, InPushed func(context.Context) context.Context
	// Guard ends the reader of what is pushed with NoSpace when the disk is full.
	Guard   func(io.Reader) io.Reader
	NoSpace error
	Logger  *slog.Logger
}

// Registry serves what containerd has.
type Registry struct {
	Config
	sending   chan struct{} // holds one for each blob that is being sent to another node
	recording chan struct{} // see lockRecords
	pushing   sync.RWMutex  // held for reading by each request that pushes, and by Prune
}

// mostSending is how many blobs are sent to other nodes at the same time. Of many nodes that want the same image the first then have it
// soon, and give it to the others.
const mostSending = 8

// New makes a Registry.
func New(cfg Config) *Registry {
	return &Registry{Config: cfg, sending: make(chan struct{}, mostSending), recording: make(chan struct{}, 1)}
}

// request is the path of a request taken apart: /v2/NAME/KIND/ID.
type request struct {
	name string // of the repository
	kind string // manifests, blobs, uploads, tags, referrers
	id   string // a tag or digest, or the name of an upload, which is empty for a new one
}

// paths are the parts between a repository's name and what is asked of it.
var paths = []struct{ kind, between string }{
	{"uploads", "/blobs/uploads/"}, {"manifests", "/manifests/"}, {"blobs", "/blobs/"}, {"referrers", "/referrers/"},
}

// parse takes a path apart; the name may have slashes in it.
func parse(path string) (request, bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return request{}, false
	}
	if name, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		return request{name: name, kind: "tags"}, name != ""
	}
	if name, ok := strings.CutSuffix(rest, "/blobs/uploads"); ok {
		return request{name: name, kind: "uploads"}, name != ""
	}
	for _, p := range paths {
		if name, id, ok := cutLast(rest, p.between); ok && name != "" && !strings.Contains(id, "/") && (id != "" || p.kind == "uploads") {
			return request{name, p.kind, id}, true
		}
	}
	return request{}, false
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// MostManifest is how large a manifest may be.
const MostManifest = 4 << 20

// mediaType finds out of what type a manifest or index is.
func mediaType(ctx context.Context, store content.Store, info content.Info) (string, error) {
	if info.Size > MostManifest {
		return "", fmt.Errorf("%s is no manifest: %w", info.Digest, errdefs.ErrNotFound)
	}
	blob, err := content.ReadBlob(ctx, store, ocispec.Descriptor{Digest: info.Digest, Size: info.Size})
	if err != nil {
		return "", err
	}
	var manifest struct {
		MediaType string          `json:"mediaType"`
		Config    json.RawMessage `json:"config"`
		Layers    json.RawMessage `json:"layers"`
		Manifests json.RawMessage `json:"manifests"`
	}
	err = json.Unmarshal(blob, &manifest)
	switch {
	case err == nil && manifest.MediaType != "":
		return manifest.MediaType, nil
	case err == nil && manifest.Manifests != nil:
		return ocispec.MediaTypeImageIndex, nil
	case err == nil && manifest.Config != nil && manifest.Layers != nil:
		return ocispec.MediaTypeImageManifest, nil
	}
	return "", fmt.Errorf("%s is no manifest: %w", info.Digest, errdefs.ErrNotFound)
}

// failure is an error as the specification has it.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.message }

// refuse answers with an error.
func (g *Registry) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var f *failure
	switch {
	case errors.As(err, &f):
	case errdefs.IsNotFound(err):
		f = &failure{http.StatusNotFound, "NAME_UNKNOWN", err.Error()}
	default:
		f = &failure{http.StatusInternalServerError, "UNKNOWN", err.Error()}
		g.Logger.Warn("a request for images failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	body, _ := json.Marshal(map[string]any{"errors": []map[string]string{{"code": f.code, "message": f.message}}})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_, _ = w.Write(body)
}
