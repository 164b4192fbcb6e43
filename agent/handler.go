package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gorilla/mux"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"covey.dev/covey/agent/serve"
)

var podResource = schema.GroupResource{Resource: "pods"}

// newHandler answers for this node's pods and images.
func (a *Agent) newHandler() http.Handler {
	r := mux.NewRouter()
	serve.Routes(r, streams{a}, a.Logger)
	a.imageRoutes(r)
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
		if w.ref.Namespace == namespace && w.ref.Name == name {
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
	spec := &ExecSpec{Command: cmd.Args, TTY: cmd.TTY, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr}
	if cmd.Resize != nil {
		sizes := make(chan TerminalSize)
		done := make(chan struct{})
		defer func() { <-done }()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			defer close(done)
			resizes(ctx, cmd.Resize, sizes)
		}()
		spec.Resize = sizes
		return s.runtime.Exec(ctx, id, spec)
	}
	return s.runtime.Exec(ctx, id, spec)
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

// Address implements serve.Pods.
func (s streams) Address(_ context.Context, namespace, pod string) (string, error) {
	w, err := s.worker(namespace, pod)
	if err != nil {
		return "", err
	}
	if ip := w.currentPod().Status.PodIP; ip != "" {
		return ip, nil
	}
	return "", apierrors.NewBadRequest(fmt.Sprintf("pod %q has no address yet", pod))
}

// waitingFor is why a container has not started, in the words of its status.
func (w *worker) waitingFor(container string) string {
	s := w.currentPod().Status
	for _, list := range [][]corev1.ContainerStatus{s.ContainerStatuses, s.InitContainerStatuses} {
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

// imageRoutes serve the image store: covey image load, ls, rm and pull.
func (a *Agent) imageRoutes(r *mux.Router) {
	r.HandleFunc("/images", func(w http.ResponseWriter, r *http.Request) {
		list, err := a.runtime.ListImages(r.Context())
		answer(w, list, err)
	}).Methods(http.MethodGet)
	r.HandleFunc("/images/load", func(w http.ResponseWriter, r *http.Request) {
		list, err := a.runtime.Load(r.Context(), r.Body)
		if err != nil && !errors.Is(err, context.Canceled) {
			err = apierrors.NewBadRequest(err.Error())
		}
		answer(w, list, err)
	}).Methods(http.MethodPost)
	r.HandleFunc("/images", func(w http.ResponseWriter, r *http.Request) {
		ref, err := namedImage(r)
		if err == nil {
			err = a.removeImage(r.Context(), ref)
		}
		answer(w, struct{}{}, err)
	}).Methods(http.MethodDelete)
	r.HandleFunc("/images/pull", a.pullImage).Methods(http.MethodPost)
}

func namedImage(r *http.Request) (string, error) {
	ref, err := normalize(r.URL.Query().Get("ref"))
	if err != nil {
		return "", apierrors.NewBadRequest(err.Error())
	}
	return ref, nil
}

func (a *Agent) removeImage(ctx context.Context, ref string) error {
	list, err := a.runtime.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Image == ref && c.State != StateExited {
			return apierrors.NewConflict(schema.GroupResource{Resource: "images"}, ref, fmt.Errorf("container %s of pod %s/%s runs it", c.Name, c.Pod.Namespace, c.Pod.Name))
		}
	}
	err = a.runtime.RemoveImage(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "images"}, ref)
	}
	return err
}

func answer(w http.ResponseWriter, body any, err error) {
	if err != nil {
		serve.Error(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// pullImage answers with one line of JSON for each progress and a last one with the image or the error.
func (a *Agent) pullImage(w http.ResponseWriter, r *http.Request) {
	ref, err := namedImage(r)
	if err != nil {
		serve.Error(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	lines := json.NewEncoder(w)
	flush := http.NewResponseController(w).Flush
	progress := make(chan PullProgress)
	result := make(chan any, 1)
	go func() {
		defer close(progress)
		image, err := a.runtime.Pull(r.Context(), ref, nil, func(p PullProgress) {
			select {
			case progress <- p:
			case <-r.Context().Done():
			}
		})
		if err != nil {
			result <- map[string]string{"error": err.Error()}
			return
		}
		result <- map[string]Image{"image": image}
	}()
	for p := range progress {
		_ = lines.Encode(p)
		_ = flush()
	}
	_ = lines.Encode(<-result)
}
