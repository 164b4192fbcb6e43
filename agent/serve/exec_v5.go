package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"
)

// session is what runs on the streams of a connection. Resize is never nil.
type session struct {
	doing string // for its errors: "executing command in container"
	run   func(ctx context.Context, cmd Command) error
	// leaves says that it ends when its client has gone. A process that was started goes on without.
	leaves bool
}

// serveV5 speaks v5.channel.k8s.io, which can close standard input alone: the five channels of one WebSocket.
func serveV5(w http.ResponseWriter, r *http.Request, s session, opts *remotecommand.Options) error {
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		remotecommand.StreamProtocolV5Name: {Binary: true, Channels: []wsstream.ChannelType{
			channel(opts.Stdin, wsstream.ReadChannel),
			channel(opts.Stdout, wsstream.WriteChannel),
			channel(opts.Stderr, wsstream.WriteChannel),
			wsstream.WriteChannel,
			channel(opts.TTY || s.leaves, wsstream.ReadChannel), // its end is the client's, too
		}},
	})
	conn.SetIdleTimeout(idleTimeout)
	_, streams, err := conn.Open(w, r)
	if err != nil {
		return nil // answered already
	}
	defer func() { _ = conn.Close() }()
	resize := make(chan remotecommand.TerminalSize)
	cmd := Command{TTY: opts.TTY, Resize: resize}
	if opts.Stdin {
		cmd.Stdin = streams[remotecommand.StreamStdIn]
	}
	if opts.Stdout {
		cmd.Stdout = streams[remotecommand.StreamStdOut]
	}
	if opts.Stderr {
		cmd.Stderr = streams[remotecommand.StreamStdErr]
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if opts.TTY || s.leaves {
		go func() {
			sizes(ctx, streams[remotecommand.StreamResize], resize)
			if s.leaves {
				cancel()
			}
		}()
	}
	err = s.run(ctx, cmd)
	_ = json.NewEncoder(streams[remotecommand.StreamErr]).Encode(outcome(s.doing, err)) // the client may have gone
	return nil
}

func channel(wanted bool, kind wsstream.ChannelType) wsstream.ChannelType {
	if !wanted {
		return wsstream.IgnoreChannel
	}
	return kind
}

// sizes passes terminal sizes on until the connection ends.
func sizes(ctx context.Context, in io.Reader, out chan<- remotecommand.TerminalSize) {
	defer close(out)
	for dec := json.NewDecoder(in); ; {
		var size remotecommand.TerminalSize
		if dec.Decode(&size) != nil {
			return
		}
		select {
		case out <- size:
		case <-ctx.Done():
			return
		}
	}
}

// outcome is how the client learns of the exit code.
func outcome(doing string, err error) *metav1.Status {
	var exit utilexec.ExitError
	switch {
	case err == nil:
		return &metav1.Status{Status: metav1.StatusSuccess}
	case errors.As(err, &exit) && exit.Exited():
		return &metav1.Status{
			Status:  metav1.StatusFailure,
			Reason:  remotecommand.NonZeroExitCodeReason,
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", exit),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{
				Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(exit.ExitStatus()),
			}}},
		}
	}
	return &metav1.Status{
		Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Code: http.StatusInternalServerError,
		Message: "error " + doing + ": " + err.Error(),
	}
}
