package containerd

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/runtimetest/imagetest"
	"covey.dev/covey/agent/runtimetest/registrytest"
)

// puller is a runtime with a folder for hosts.toml files.
type puller struct {
	*testing.T
	agent.Runtime
	hostDir string
}

func newPuller(t *testing.T, patience time.Duration) puller {
	t.Helper()
	needRoot(t)
	m := newMachine(t)
	m.hostDir, m.pullTimeout = t.TempDir(), patience
	return puller{t, m.open(t), m.hostDir}
}

// hosts writes the hosts.toml of a registry.
func (p puller) hosts(registry, content string) string {
	p.Helper()
	dir := filepath.Join(p.hostDir, registry)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(content), 0o600); err != nil {
		p.Fatal(err)
	}
	return dir
}

// pull pulls an image afresh.
func (p puller) pull(ref string, auth agent.Credentials) (agent.Image, error) {
	p.Helper()
	if err := p.RemoveImage(p.Context(), ref); err != nil && !errors.Is(err, agent.ErrNotFound) {
		p.Fatal(err)
	}
	got, err := p.Pull(p.Context(), agent.PullRequest{Ref: ref, Auth: auth})
	return got.Image, err
}

func login(user, password string) agent.Credentials {
	return func(string) *agent.RegistryAuth { return &agent.RegistryAuth{Username: user, Password: password} }
}

func TestPull(t *testing.T) {
	p := newPuller(t, 0)
	archive := imagetest.Archive(t, "x")
	reg := registrytest.New(t, registrytest.Options{})
	id := reg.Push(t, "team/app:1", archive)
	many := reg.PushIndex(t, "team/many:1", archive)
	for ref, want := range map[string]string{
		reg.Host + "/team/app:1":                   id.String(),
		reg.Host + "/team/app@" + id.String():      id.String(),
		reg.Host + "/team/app:9@" + id.String():    id.String(), // the digest counts
		reg.Host + "/team/many:1":                  many.String(),
		reg.Host + "/team/many:1@" + many.String(): many.String(),
	} {
		image, err := p.pull(ref, nil)
		if err != nil || image.Digest != want || image.SizeBytes == 0 {
			t.Errorf("%s: %+v (%v), want %s", ref, image, err, want)
		}
	}
	_, err := p.pull(reg.Host+"/team/app:none", nil)
	if !errors.Is(err, agent.ErrNotFound) || !strings.Contains(err.Error(), "failed to pull and unpack image") {
		t.Errorf("a tag that is not there: %v", err)
	}
	if _, err := p.pull("127.0.0.1:1/team/app:1", nil); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a registry that is not there: %v", err)
	}
}

func TestPullWithCredentials(t *testing.T) {
	p := newPuller(t, 0)
	archive := imagetest.Archive(t, "x")
	for name, bearer := range map[string]bool{"basic": false, "bearer": true} {
		t.Run(name, func(t *testing.T) {
			reg := registrytest.New(t, registrytest.Options{Username: "me", Password: "secret", Bearer: bearer})
			reg.Push(t, "app:1", archive)
			if image, err := p.pull(reg.Host+"/app:1", login("me", "secret")); err != nil || image.SizeBytes == 0 {
				t.Errorf("with the right ones: %+v, %v", image, err)
			}
			for what, auth := range map[string]agent.Credentials{
				"none": nil, "nothing for this host": func(string) *agent.RegistryAuth { return nil }, "wrong ones": login("me", "guess"),
			} {
				if _, err := p.pull(reg.Host+"/app:1", auth); err == nil || !strings.Contains(err.Error(), "401") && !strings.Contains(err.Error(), "no basic auth") && !strings.Contains(err.Error(), "authorization") {
					t.Errorf("with %s: %v", what, err)
				}
			}
		})
	}
}

// TestPullFromMirrors has a registry that does not exist, with mirrors named in its hosts.toml.
func TestPullFromMirrors(t *testing.T) {
	p := newPuller(t, 0)
	archive := imagetest.Archive(t, "x")
	upstream := registrytest.New(t, registrytest.Options{})
	mirror := registrytest.New(t, registrytest.Options{TLS: true, Username: "me", Password: "mirrors"})
	upstream.Push(t, "both:1", archive)
	upstream.Push(t, "upstream:1", archive)
	mirror.Push(t, "both:1", archive)
	dir := p.hosts("registry.example", fmt.Sprintf(`
server = "http://%s"
[host."https://%s"]
  capabilities = ["pull", "resolve"]
  ca = "ca.crt"
`, upstream.Host, mirror.Host))
	auth := func(host string) *agent.RegistryAuth {
		if host == mirror.Host {
			return &agent.RegistryAuth{Username: "me", Password: "mirrors"}
		}
		return nil
	}
	if _, err := p.pull("registry.example/both:1", auth); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("without the file of the mirror's authority: %v", err)
	}
	mirror.WriteCA(t, filepath.Join(dir, "ca.crt"))
	if _, err := p.pull("registry.example/both:1", auth); err != nil {
		t.Error(err)
	}
	if asked := upstream.Requests(""); len(asked) != 0 {
		t.Errorf("upstream was asked for what the mirror has: %v", asked)
	}
	if _, err := p.pull("registry.example/upstream:1", auth); err != nil {
		t.Errorf("what only upstream has: %v", err)
	}
	if len(mirror.Requests("HEAD /v2/upstream/")) == 0 {
		t.Errorf("the mirror was not asked first: %v", mirror.Requests(""))
	}
	p.hosts("broken.example", "server = ")
	if _, err := p.pull("broken.example/both:1", nil); err == nil || !strings.Contains(err.Error(), "broken.example/hosts.toml") {
		t.Errorf("a hosts.toml that is none: %v", err)
	}
}

// TestPullGoesOnWhereItWas cuts a layer's transfer off in its middle, restarts, and collects garbage before it tries again.
func TestPullGoesOnWhereItWas(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	m.hostDir = t.TempDir()
	p := puller{t, m.open(t), m.hostDir}
	const half = 200_000 // of a layer of more
	line := &faulty{cut: half}
	reg := registrytest.New(t, registrytest.Options{Intercept: line.intercept})
	line.registry = reg
	archive := imagetest.Archive(t, "x")
	reg.Push(t, "app:1", archive)
	ref := reg.Host + "/app:1"
	if _, err := p.Pull(t.Context(), agent.PullRequest{Ref: ref}); err == nil {
		t.Fatal("the pull was not cut off")
	}
	p.Runtime = m.reopen(t)
	whole := registrytest.New(t, registrytest.Options{})
	other, err := imagetest.Image("other", []byte("another program"), nil, imagetest.Config())
	if err != nil {
		t.Fatal(err)
	}
	whole.Push(t, "other:1", other)
	if _, err := p.Pull(t.Context(), agent.PullRequest{Ref: whole.Host + "/other:1"}); err != nil {
		t.Fatal(err)
	}
	if err := p.RemoveImage(t.Context(), whole.Host+"/other:1"); err != nil { // collects garbage
		t.Fatal(err)
	}
	line.mend()
	if _, err := p.Pull(t.Context(), agent.PullRequest{Ref: ref}); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("bytes=%d-", half); !slices.Contains(line.ranges, want) {
		t.Errorf("after the cut the ranges %q were asked for, want %s", line.ranges, want)
	}
	if _, err := p.Image(t.Context(), ref); err != nil {
		t.Error(err)
	}
}

// faulty is a line that breaks after some bytes of each blob, until it is mended.
type faulty struct {
	registry *registrytest.Registry
	cut      int

	mu     sync.Mutex
	mended bool
	ranges []string // asked for since it was mended
}

func (f *faulty) mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mended = true
}

func (f *faulty) intercept(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !strings.Contains(r.URL.Path, "/blobs/"):
		return false
	case f.mended:
		f.ranges = append(f.ranges, r.Header.Get("Range"))
		return false
	case r.Header.Get("Range") != "" && r.Header.Get("Range") != "bytes=0-":
		panic(http.ErrAbortHandler)
	}
	f.registry.Content(&cutWriter{w, f.cut}, r)
	return true
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if len(p) <= w.left {
		w.left -= len(p)
		return w.ResponseWriter.Write(p)
	}
	_, _ = w.ResponseWriter.Write(p[:w.left])
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func TestPullFromARegistryThatHangs(t *testing.T) {
	p := newPuller(t, 300*time.Millisecond)
	archive := imagetest.Archive(t, "x")
	for what, where := range map[string]string{"the manifest": "/manifests/", "a blob": "/blobs/"} {
		t.Run(what, func(t *testing.T) {
			reg := registrytest.New(t, registrytest.Options{Intercept: func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, where) {
					<-r.Context().Done()
					return true
				}
				return false
			}})
			reg.Push(t, "app:1", archive)
			_, err := p.pull(reg.Host+"/app:1", nil)
			if !errors.Is(err, errStalled) || !strings.Contains(err.Error(), reg.Host) {
				t.Errorf("got %v", err)
			}
		})
	}
}
