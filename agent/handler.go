package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"

	"github.com/gorilla/mux"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"covey.dev/covey/agent/sandbox"
	"covey.dev/covey/agent/serve"
)

var podResource = schema.GroupResource{Resource: "pods"}

// newHandler answers for this node's pods and images.
func (a *Agent) newHandler() http.Handler {
	r := mux.NewRouter()
	serve.Routes(r, streams{a}, a.Logger)
	a.imageRoutes(r)
	a.usageRoutes(r)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve.Error(w, apierrors.NewGenericServerResponse(http.StatusNotFound, r.Method, schema.GroupResource{}, r.URL.Path, "the node does not serve this path", 0, true))
	})
	return r
}

// streams implements serve.Pods.
type streams struct{ *Agent }

func (s streams) worker(namespace, name string) (*worker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.ref.Namespace == namespace && w.ref.Name == name && !w.isGone() {
			return w, nil
		}
	}
	return nil, apierrors.NewNotFound(podResource, name)
}

// runs are the runs of a container that are there, the newest last.
func (s streams) runs(ctx context.Context, namespace, pod, container string) (*worker, []Container, error) {
	w, err := s.worker(namespace, pod)
	if err != nil {
		return nil, nil, err
	}
	if containerOf(w.currentPod(), container) == nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", container, pod))
	}
	v, err := w.containers(ctx)
	if err != nil {
		return nil, nil, err
	}
	return w, v[container], nil
}

// Logged implements serve.Pods.
func (s streams) Logged(ctx context.Context, namespace, pod, container string, previous bool) (serve.Container, error) {
	w, list, err := s.runs(ctx, namespace, pod, container)
	if err != nil {
		return serve.Container{}, err
	}
	// A container that is made but not started has printed nothing; what the one before printed is its log so far.
	for len(list) > 0 && list[len(list)-1].State == StateCreated {
		list = list[:len(list)-1]
	}
	if previous {
		if len(list) < 2 {
			return serve.Container{}, apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", container, pod))
		}
		list = list[:len(list)-1]
	}
	if len(list) == 0 {
		return serve.Container{}, apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start: %s", container, pod, w.waitingFor(container)))
	}
	c := list[len(list)-1]
	return serve.Container{ID: c.ID, LogPath: c.LogPath, Ended: s.ended(ctx, c.ID)}, nil
}

// ended is closed when the container has ended, or at the end of ctx.
func (a *Agent) ended(ctx context.Context, id string) <-chan struct{} {
	ended, cancel := a.exits.register(id)
	done := make(chan struct{})
	if !isRunning(ctx, a.runtime, id) {
		cancel()
		close(done)
		return done
	}
	go func() {
		defer close(done)
		defer cancel()
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}()
	return done
}

// Running implements serve.Pods.
func (s streams) Running(ctx context.Context, namespace, pod, container string) (serve.Container, error) {
	_, list, err := s.runs(ctx, namespace, pod, container)
	if err != nil {
		return serve.Container{}, err
	}
	if len(list) == 0 || list[len(list)-1].State != StateRunning {
		return serve.Container{}, apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is not running", container, pod))
	}
	c := list[len(list)-1]
	return serve.Container{ID: c.ID, LogPath: c.LogPath}, nil
}

// Exec implements serve.Pods.
func (s streams) Exec(ctx context.Context, id string, cmd serve.Command) (int, error) {
	sizes, stop := terminalSizes(ctx, cmd.Resize)
	defer stop()
	return s.runtime.Exec(ctx, id, &ExecSpec{
		Command: cmd.Args, TTY: cmd.TTY, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, Resize: sizes,
	})
}

// Attach implements serve.Pods.
func (s streams) Attach(ctx context.Context, id string, cmd serve.Command) error {
	sizes, stop := terminalSizes(ctx, cmd.Resize)
	defer stop()
	return s.runtime.Attach(ctx, id, &AttachSpec{Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, Resize: sizes})
}

// terminalSizes hands sizes on in the agent's own type until stop is called.
func terminalSizes(ctx context.Context, in <-chan remotecommand.TerminalSize) (sizes <-chan TerminalSize, stop func()) {
	if in == nil {
		return nil, func() {}
	}
	out := make(chan TerminalSize)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		resizes(ctx, in, out)
	}()
	return out, func() { cancel(); <-done }
}

func resizes(ctx context.Context, in <-chan remotecommand.TerminalSize, out chan<- TerminalSize) {
	defer close(out)
	for {
		select {
		case <-ctx.Done():
			return
		case size, open := <-in:
			if !open {
				return
			}
			select {
			case out <- TerminalSize{Width: size.Width, Height: size.Height}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Dial implements serve.Pods.
func (s streams) Dial(ctx context.Context, namespace, pod string, port int32) (net.Conn, error) {
	w, err := s.worker(namespace, pod)
	if err != nil {
		return nil, err
	}
	if w.currentPod().Spec.HostNetwork {
		return dialLoopback(ctx, port)
	}
	var conn net.Conn
	err = sandbox.Enter(filepath.Join(w.namespaceDir(w.ref.UID), "net"), func() error {
		conn, err = dialLoopback(ctx, port)
		return err
	})
	return conn, err
}

func dialLoopback(ctx context.Context, port int32) (conn net.Conn, err error) {
	var d net.Dialer
	for _, host := range []string{"127.0.0.1", "::1"} {
		if conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port)))); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// waitingFor is why a container has not started, in the words of its status.
func (w *worker) waitingFor(container string) string {
	s := w.currentPod().Status
	for _, list := range [][]corev1.ContainerStatus{s.ContainerStatuses, s.InitContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == container && list[i].State.Waiting != nil {
				waiting := list[i].State.Waiting
				switch waiting.Reason {
				case "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError":
					return waiting.Reason + ": " + waiting.Message
				}
				return waiting.Reason
			}
		}
	}
	return "ContainerCreating"
}
