package serve

import (
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

// serveV5 speaks v5.channel.k8s.io, which can close standard input alone: the five channels of one WebSocket.
func serveV5(w http.ResponseWriter, r *http.Request, run executor, command []string, opts *remotecommand.Options) error {
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		remotecommand.StreamProtocolV5Name: {Binary: true, Channels: []wsstream.ChannelType{
			channel(opts.Stdin, wsstream.ReadChannel),
			channel(opts.Stdout, wsstream.WriteChannel),
			channel(opts.Stderr, wsstream.WriteChannel),
			wsstream.WriteChannel,
			channel(opts.TTY, wsstream.ReadChannel),
		}},
	})
	conn.SetIdleTimeout(idleTimeout)
	_, streams, err := conn.Open(w, r)
	if err != nil {
		return nil // answered already
	}
	defer func() { _ = conn.Close() }()
	var in io.Reader
	var out, errOut io.WriteCloser
	if opts.Stdin {
		in = streams[remotecommand.StreamStdIn]
	}
	if opts.Stdout {
		out = streams[remotecommand.StreamStdOut]
	}
	if opts.Stderr {
		errOut = streams[remotecommand.StreamStdErr]
	}
	resize := make(chan remotecommand.TerminalSize)
	if opts.TTY {
		go sizes(r, streams[remotecommand.StreamResize], resize)
	}
	err = run.ExecInContainer(r.Context(), "", "", "", command, in, out, errOut, opts.TTY, resize, 0)
	return json.NewEncoder(streams[remotecommand.StreamErr]).Encode(outcome(err))
}

func channel(wanted bool, kind wsstream.ChannelType) wsstream.ChannelType {
	if !wanted {
		return wsstream.IgnoreChannel
	}
	return kind
}

// sizes passes terminal sizes on until the connection ends.
func sizes(r *http.Request, in io.Reader, out chan<- remotecommand.TerminalSize) {
	defer close(out)
	for dec := json.NewDecoder(in); ; {
		var size remotecommand.TerminalSize
		if dec.Decode(&size) != nil {
			return
		}
		select {
		case out <- size:
		case <-r.Context().Done():
			return
		}
	}
}

// outcome is how the client learns of the exit code.
func outcome(err error) *metav1.Status {
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
		Message: "error executing command in container: " + err.Error(),
	}
}
