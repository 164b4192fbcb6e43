package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"

	"covey.dev/covey/agent/logs"
)

// house is one pod, a, with one container, c.
type house struct {
	log     string
	backend string        // where the pod's port leads
	left    chan struct{} // closed when one that is attached to a silent container has gone
}

func (h house) Logged(_ context.Context, _, pod, _ string, _ bool) (Container, error) {
	if pod != "a" {
		return Container{}, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, pod)
	}
	ended := make(chan struct{})
	close(ended)
	return Container{ID: "id", LogPath: h.log, Ended: ended}, nil
}

func (h house) Running(ctx context.Context, namespace, pod, container string) (Container, error) {
	return h.Logged(ctx, namespace, pod, container, false)
}

// Exec knows a few commands: cat, say, size and fail.
func (h house) Exec(_ context.Context, _ string, cmd Command) (int, error) {
	switch cmd.Args[0] {
	case "cat":
		_, err := io.Copy(cmd.Stdout, cmd.Stdin)
		return 0, err
	case "say":
		_, _ = fmt.Fprint(cmd.Stdout, "out")
		_, _ = fmt.Fprint(cmd.Stderr, "err")
		return 7, nil
	case "size":
		size := <-cmd.Resize
		_, _ = fmt.Fprintf(cmd.Stdout, "%dx%d", size.Width, size.Height)
		return 0, nil
	}
	return 0, errors.New("no such program")
}

func (h house) Attach(ctx context.Context, id string, cmd Command) error {
	if id != "id" || len(cmd.Args) > 0 {
		return fmt.Errorf("attached to %s with a command %v", id, cmd.Args)
	}
	if cmd.TTY {
		size := <-cmd.Resize
		_, err := fmt.Fprintf(cmd.Stdout, "%dx%d", size.Width, size.Height)
		return err
	}
	if h.left != nil {
		_, _ = io.WriteString(cmd.Stdout, "attached")
		<-ctx.Done()
		close(h.left)
		return ctx.Err()
	}
	if cmd.Stdin == nil {
		return errors.New("it ended just now")
	}
	_, err := io.Copy(cmd.Stdout, cmd.Stdin)
	return err
}

func (h house) Dial(ctx context.Context, _, _ string, port int32) (net.Conn, error) {
	if port != 5000 {
		return nil, errors.New("connection refused")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", h.backend)
}

func server(t *testing.T, h house) *url.URL {
	t.Helper()
	r := mux.NewRouter()
	Routes(r, h, slog.New(slog.DiscardHandler))
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// terminal is a screen that has one size.
type terminal struct{ sizes []remotecommand.TerminalSize }

func (s *terminal) Next() *remotecommand.TerminalSize {
	if len(s.sizes) == 0 {
		return nil
	}
	size := s.sizes[0]
	s.sizes = s.sizes[1:]
	return &size
}

func TestExecAndAttachOverBothProtocols(t *testing.T) {
	base := server(t, house{})
	big := strings.Repeat("covey ", 200_000)
	for _, c := range []struct {
		name, path, query, in, out, errOut string
		size                               *terminal
		code                               int
		fails                              string
	}{
		{name: "input", query: "command=cat&input=1&output=1", in: big, out: big},
		{name: "output and exit code", query: "command=say&output=1&error=1", out: "out", errOut: "err", code: 7},
		{name: "terminal", query: "command=size&input=1&output=1&tty=1", size: &terminal{[]remotecommand.TerminalSize{{Width: 80, Height: 24}}}, out: "80x24"},
		{name: "attach", path: "/attach/default/a/c", query: "input=1&output=1", in: big, out: big},
		{name: "attach to a terminal", path: "/attach/default/a/c", query: "input=1&output=1&tty=1",
			size: &terminal{[]remotecommand.TerminalSize{{Width: 80, Height: 24}}}, out: "80x24"},
		{name: "attach that fails", path: "/attach/default/a/c", query: "output=1", fails: "error attaching to container: it ended just now"},
	} {
		for protocol, connect := range map[string]func(*url.URL) (remotecommand.Executor, error){
			"WebSocket": func(u *url.URL) (remotecommand.Executor, error) {
				return remotecommand.NewWebSocketExecutor(&rest.Config{}, http.MethodGet, u.String())
			},
			"SPDY": func(u *url.URL) (remotecommand.Executor, error) {
				return remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
			},
		} {
			t.Run(c.name+" over "+protocol, func(t *testing.T) {
				u := *base
				u.Path, u.RawQuery = "/exec/default/a/c", c.query
				if c.path != "" {
					u.Path = c.path
				}
				executor, err := connect(&u)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				var out, errOut bytes.Buffer
				opts := remotecommand.StreamOptions{Stdout: &out}
				if strings.Contains(c.query, "input") {
					opts.Stdin = strings.NewReader(c.in)
				}
				if strings.Contains(c.query, "error") {
					opts.Stderr = &errOut
				}
				if c.size != nil {
					size := *c.size
					opts.Tty, opts.TerminalSizeQueue = true, &size
				}
				err = executor.StreamWithContext(ctx, opts)
				var exit utilexec.ExitError
				switch {
				case c.fails != "":
					if err == nil || !strings.Contains(err.Error(), c.fails) {
						t.Fatalf("%v, want %s", err, c.fails)
					}
				case c.code == 0 && err != nil, c.code != 0 && (!errors.As(err, &exit) || exit.ExitStatus() != c.code):
					t.Fatalf("%v, want exit code %d", err, c.code)
				}
				if out.String() != c.out || errOut.String() != c.errOut {
					t.Errorf("%d bytes, %q, want %d bytes, %q", out.Len(), errOut.String(), len(c.out), c.errOut)
				}
			})
		}
	}
}

// A silent container holds nothing of a client that has left.
func TestAttachEndsWithItsClient(t *testing.T) {
	left := make(chan struct{})
	u := server(t, house{left: left})
	u.Path, u.RawQuery = "/attach/default/a/c", "output=1"
	executor, err := remotecommand.NewWebSocketExecutor(&rest.Config{}, http.MethodGet, u.String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: cancels(cancel)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select {
	case <-left:
	case <-time.After(30 * time.Second):
		t.Error("the attachment goes on")
	}
}

// cancels is a writer that ends its client with the first output.
type cancels context.CancelFunc

func (c cancels) Write(p []byte) (int, error) {
	c()
	return len(p), nil
}

func TestPortForward(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer backend.Close()
	base := server(t, house{backend: backend.Listener.Addr().String()})
	base.Path = "/portForward/default/a"
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, base)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:5000", "0:5001"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d", ports[0].Local))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "hello" {
		t.Errorf("%q", body)
	}
	if resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d", ports[1].Local)); err == nil {
		_ = resp.Body.Close()
		t.Error("a port that nobody listens on answers")
	}
	close(stop)
	// After a port that refused, client-go itself gives the connection up.
	if err := <-done; err != nil && !errors.Is(err, portforward.ErrLostConnectionToPod) {
		t.Error(err)
	}
}

func TestLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	log := logs.NewWriter(path, logs.WriterOptions{})
	for stream, text := range map[logs.Stream]string{logs.Stdout: "one\ntwo\nthree\n", logs.Stderr: "wrong\n"} {
		if err := log.Copy(stream, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	base := server(t, house{log: path})
	for _, c := range []struct {
		query string
		code  int
		want  string
	}{
		{"a/c?stream=Stdout", 200, "one\ntwo\nthree\n"},
		{"a/c?stream=Stderr", 200, "wrong\n"},
		{"a/c?stream=Stdout&tailLines=1&follow=true", 200, "three\n"},
		{"a/c?stream=Stdout&limitBytes=5", 200, "one\nt"},
		{"a/c?sinceTime=2100-01-01T00:00:00Z", 200, ""},
		{"a/c?sinceTime=yesterday", 400, "sinceTime"},
		{"b/c", 404, `"reason":"NotFound"`},
	} {
		resp, err := http.Get(base.String() + "/containerLogs/default/" + c.query)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if ok := string(body) == c.want || c.code != 200 && strings.Contains(string(body), c.want); resp.StatusCode != c.code || !ok {
			t.Errorf("%s: %d %q, want %d %q", c.query, resp.StatusCode, body, c.code, c.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get(base.String() + "/containerLogs/default/a/c"); err != nil || resp.StatusCode != 200 {
		t.Errorf("a log that is not there yet: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
}
