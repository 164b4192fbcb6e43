package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Container is one run of a container that a request is about.
type Container struct {
	ID      string
	LogPath string
	Ended   <-chan struct{} // closed when its process has ended
}

// Command is a process to run in a container. Nil streams are not attached.
type Command struct {
	Args           []string
	TTY            bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan remotecommand.TerminalSize
}

// Pods is what the handler needs of the agent. Errors that are Kubernetes API errors are answered as they are.
type Pods interface {
	// Logged finds the run of a container whose log is asked for: the newest, or with previous the one before.
	Logged(ctx context.Context, namespace, pod, container string, previous bool) (Container, error)
	// Running finds a container that runs.
	Running(ctx context.Context, namespace, pod, container string) (Container, error)
	// Exec runs a command in a running container and returns its exit code.
	Exec(ctx context.Context, id string, cmd Command) (int, error)
	// Attach connects the command's streams to the container's first process until that or ctx ends.
	Attach(ctx context.Context, id string, cmd Command) error
	// Dial connects to a TCP port as the pod's own programs would, on its loopback address.
	Dial(ctx context.Context, namespace, pod string, port int32) (net.Conn, error)
}

type handler struct {
	pods Pods
	log  *slog.Logger
}

// Routes adds the paths of pods to r: /containerLogs, /exec and /portForward.
func Routes(r *mux.Router, pods Pods, log *slog.Logger) {
	h := &handler{pods, log}
	r.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", h.answer(h.logs)).Methods(http.MethodGet)
	r.HandleFunc("/exec/{namespace}/{pod}/{container}", h.answer(h.exec)).Methods(http.MethodGet, http.MethodPost)
	r.HandleFunc("/attach/{namespace}/{pod}/{container}", h.answer(h.attach)).Methods(http.MethodGet, http.MethodPost)
	r.HandleFunc("/portForward/{namespace}/{pod}", h.answer(h.portForward)).Methods(http.MethodGet, http.MethodPost)
}

func (h *handler) answer(serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			Error(w, err)
		}
	}
}

// Error answers with a Kubernetes Status object; errors that are none become internal errors.
func Error(w http.ResponseWriter, err error) {
	var api apierrors.APIStatus
	if !errors.As(err, &api) {
		api = apierrors.NewInternalError(err)
	}
	status := api.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}
