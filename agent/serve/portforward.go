package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// portForward carries connections to the pod's ports. WebSockets are refused: clients fall back to SPDY.
func (h *handler) portForward(w http.ResponseWriter, r *http.Request) error {
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		return apierrors.NewBadRequest("port forwarding is spoken over SPDY here")
	}
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	v := mux.Vars(r)
	portforward.ServePortForward(w, r, forwarder{h.pods, v["namespace"], v["pod"]}, v["pod"], "", opts,
		idleTimeout, remotecommand.DefaultStreamCreationTimeout, []string{portforward.ProtocolV1Name})
	return nil
}

// forwarder dials the ports of one pod.
type forwarder struct {
	pods           Pods
	namespace, pod string
}

// PortForward implements portforward.PortForwarder.
func (f forwarder) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := f.pods.Dial(ctx, f.namespace, f.pod, port)
	if err != nil {
		return fmt.Errorf("connect to port %d of the pod: %w", port, err)
	}
	defer func() { _ = conn.Close() }()
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(conn, stream)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	})
	_, err = io.Copy(stream, conn)
	_ = stream.Close()
	up.Wait()
	return err
}
