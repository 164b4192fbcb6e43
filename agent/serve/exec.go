package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"
)

// idleTimeout ends a stream that nothing has passed through for so long.
const idleTimeout = 4 * time.Hour

// exec turns the connection into streams to a new process.
func (h *handler) exec(w http.ResponseWriter, r *http.Request) error {
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	v := mux.Vars(r)
	c, err := h.pods.Running(r.Context(), v["namespace"], v["pod"], v["container"])
	if err != nil {
		return err
	}
	run := executor{h.pods, c.ID}
	command := r.URL.Query()["command"]
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		return serveV5(w, r, session{"executing command in container", func(ctx context.Context, cmd Command) error {
			cmd.Args = command
			return run.exec(ctx, cmd)
		}, false}, opts)
	}
	remotecommand.ServeExec(w, r, run, v["pod"], "", v["container"], command, opts,
		idleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
	return nil
}

// executor runs commands in one container, and attaches to it.
type executor struct {
	pods Pods
	id   string
}

// ExecInContainer implements remotecommand.Executor.
func (e executor) ExecInContainer(ctx context.Context, _, _, _ string, args []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	return e.exec(ctx, command(args, in, out, errOut, tty, resize))
}

func command(args []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) Command {
	cmd := Command{Args: args, TTY: tty, Stdin: in, Resize: resize}
	// A nil stream must stay a nil interface.
	if out != nil {
		cmd.Stdout = out
	}
	if errOut != nil {
		cmd.Stderr = errOut
	}
	return cmd
}

func (e executor) exec(ctx context.Context, cmd Command) error {
	code, err := e.pods.Exec(ctx, e.id, cmd)
	if err == nil && code != 0 {
		err = utilexec.CodeExitError{Err: fmt.Errorf("%d", code), Code: code}
	}
	return err
}
