package serve

import (
	"context"
	"io"
	"net/http"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// attach turns the connection into the streams of a container's first process.
func (h *handler) attach(w http.ResponseWriter, r *http.Request) error {
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	v := mux.Vars(r)
	c, err := h.pods.Running(r.Context(), v["namespace"], v["pod"], v["container"])
	if err != nil {
		return err
	}
	to := executor{h.pods, c.ID}
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		return serveV5(w, r, session{"attaching to container", func(ctx context.Context, cmd Command) error {
			return h.pods.Attach(ctx, c.ID, cmd)
		}, true}, opts)
	}
	remotecommand.ServeAttach(w, r, to, v["pod"], "", v["container"], opts,
		idleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
	return nil
}

// AttachContainer implements remotecommand.Attacher.
func (e executor) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return e.pods.Attach(ctx, e.id, command(nil, in, out, errOut, tty, resize))
}
