package harness

import (
	"context"
	"net"
	"os/exec"
)

// Dial connects from the node's own network: "tcp" or "udp", host:port.
func (n *Node) Dial(t T, proto, address string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := n.net.dial(ctx, proto, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Sockets is what ss says of the node's network; args choose the sockets.
func (n *Node) Sockets(args ...string) string {
	n.t.Helper()
	out, err := n.net.output(exec.Command("ss", args...))
	if err != nil {
		n.t.Fatalf("ss: %v\n%s", err, out)
	}
	return string(out)
}
