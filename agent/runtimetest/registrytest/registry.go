// Package registrytest is an image registry in the process, for tests of pulling: it serves what was pushed to it, asks
// for credentials if told to, and can be made to hang or to cut a transfer off.
package registrytest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options say what the registry asks of those who pull.
type Options struct {
	TLS                bool   // with a certificate of its own authority, see WriteCA
	Username, Password string // asked for when not empty
	Bearer             bool   // the credentials are for the token service, and a token is for the registry
	// Intercept is called before each request is answered. It returns true when it has answered.
	Intercept func(w http.ResponseWriter, r *http.Request) bool
}

// Registry serves images.
type Registry struct {
	Host   string // host:port, the first part of the images' names
	opts   Options
	server *httptest.Server

	mu       sync.Mutex
	blobs    map[digest.Digest][]byte
	tags     map[string]ocispec.Descriptor // by repository:tag
	media    map[digest.Digest]string      // of manifests
	requests []string
}

// New serves a registry until the test ends.
func New(t testing.TB, opts Options) *Registry {
	t.Helper()
	r := &Registry{opts: opts, blobs: map[digest.Digest][]byte{}, tags: map[string]ocispec.Descriptor{}, media: map[digest.Digest]string{}}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	if opts.TLS {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	t.Cleanup(func() {
		r.server.CloseClientConnections()
		r.server.Close()
	})
	r.Host = r.server.Listener.Addr().String()
	return r
}

// WriteCA writes the authority of the registry's certificate to a file.
func (r *Registry) WriteCA(t testing.TB, file string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Push stores the image of an OCI archive under repository:tag and gives its digest.
func (r *Registry) Push(t testing.TB, name string, archive []byte) digest.Digest {
	t.Helper()
	index, err := r.unpack(archive)
	if err != nil || len(index.Manifests) != 1 {
		t.Fatalf("push %s: %d images (%v), want one", name, len(index.Manifests), err)
	}
	return r.tag(name, index.Manifests[0])
}

// PushIndex stores an index under repository:tag that lists the image of an archive last, after images for other platforms
// that cannot be fetched.
func (r *Registry) PushIndex(t testing.TB, name string, archive []byte) digest.Digest {
	t.Helper()
	index, err := r.unpack(archive)
	if err != nil || len(index.Manifests) != 1 {
		t.Fatalf("push %s: %d images (%v), want one", name, len(index.Manifests), err)
	}
	own := index.Manifests[0]
	own.Annotations = nil
	var list []ocispec.Descriptor
	for _, other := range []string{"s390x", "riscv64"} {
		list = append(list, ocispec.Descriptor{
			MediaType: own.MediaType, Digest: digest.FromString(other), Size: own.Size,
			Platform: &ocispec.Platform{OS: "linux", Architecture: other},
		})
	}
	content, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: append(list, own),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.blobs[digest.FromBytes(content)] = content
	r.mu.Unlock()
	return r.tag(name, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(content), Size: int64(len(content))})
}

func (r *Registry) tag(name string, d ocispec.Descriptor) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tags[name], r.media[d.Digest] = d, d.MediaType
	return d.Digest
}

// unpack keeps an archive's blobs.
func (r *Registry) unpack(archive []byte) (index ocispec.Index, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return index, err
		}
		content, err := io.ReadAll(files)
		if err != nil {
			return index, err
		}
		if header.Name == "index.json" {
			if err := json.Unmarshal(content, &index); err != nil {
				return index, err
			}
			continue
		}
		r.blobs[digest.FromBytes(content)] = content
	}
	for _, m := range index.Manifests {
		r.media[m.Digest] = m.MediaType
	}
	return index, nil
}

// Requests are those that were made and begin so, such as "GET /v2/app/blobs/".
func (r *Registry) Requests(prefix string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, request := range r.requests {
		if strings.HasPrefix(request, prefix) {
			list = append(list, request)
		}
	}
	return list
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	r.mu.Unlock()
	switch {
	case req.URL.Path == "/token":
		r.token(w, req)
	case !r.authorized(req):
		r.challenge(w, req)
	case r.opts.Intercept != nil && r.opts.Intercept(w, req):
	default:
		r.Content(w, req)
	}
}

// Content answers with what is stored, as the registry does when nothing intercepts it.
func (r *Registry) Content(w http.ResponseWriter, req *http.Request) {
	dir, last := path.Split(req.URL.Path)
	repository, kind := path.Split(strings.TrimSuffix(strings.TrimPrefix(dir, "/v2/"), "/"))
	repository = strings.TrimSuffix(repository, "/")
	r.mu.Lock()
	id := digest.Digest(last)
	if d, ok := r.tags[repository+":"+last]; ok {
		id = d.Digest
	}
	blob, found := r.blobs[id]
	media, isManifest := r.media[id]
	r.mu.Unlock()
	if !found || !slices.Contains([]string{"manifests", "blobs"}, kind) {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, http.StatusNotFound)
		return
	}
	if isManifest {
		w.Header().Set("Content-Type", media)
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	w.Header().Set("Docker-Content-Digest", id.String())
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(blob))
}

func (r *Registry) authorized(req *http.Request) bool {
	if r.opts.Username == "" {
		return true
	}
	if r.opts.Bearer {
		return req.Header.Get("Authorization") == "Bearer "+r.secretToken()
	}
	user, password, _ := req.BasicAuth()
	return user == r.opts.Username && password == r.opts.Password
}

func (r *Registry) secretToken() string { return "token-of-" + r.opts.Username }

func (r *Registry) challenge(w http.ResponseWriter, req *http.Request) {
	if r.opts.Bearer {
		scheme := "http"
		if r.opts.TLS {
			scheme = "https"
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s://%s/token",service="test"`, scheme, req.Host))
	} else {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	}
	http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
}

func (r *Registry) token(w http.ResponseWriter, req *http.Request) {
	user, password, _ := req.BasicAuth()
	if req.Method == http.MethodPost {
		user, password = req.FormValue("username"), req.FormValue("password")
	}
	if user != r.opts.Username || password != r.opts.Password {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": r.secretToken(), "access_token": r.secretToken(), "expires_in": 300})
}
