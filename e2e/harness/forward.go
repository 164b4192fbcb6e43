package harness

import (
	"context"
	"io"
	"net"
	"sync"
)

// Forward lets programs outside of the node's network reach its API at the address that it returns, until the test ends.
func (n *Node) Forward() string {
	n.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	n.t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { n.forward(ctx, conn) })
		}
	})
	return listener.Addr().String()
}

func (n *Node) forward(ctx context.Context, here net.Conn) {
	there, err := n.net.dial(ctx, "tcp", Address)
	if err != nil {
		_ = here.Close()
		return
	}
	end := func() {
		_ = here.Close()
		_ = there.Close()
	}
	defer context.AfterFunc(ctx, end)()
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(there, here); end() })
	copying.Go(func() { _, _ = io.Copy(here, there); end() })
	copying.Wait()
}
