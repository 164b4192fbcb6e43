package forward

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/link"
)

// Protocol is its ALPN name. A change that an older node would not understand takes another number.
const Protocol = identity.NodeProtocols + "forward/1"

const (
	headerTimeout = 10 * time.Second
	maxHeader     = 1 << 10
)

// header says what a connection was at the worker. It comes first, behind its length (two bytes, big endian).
type header struct {
	Local  string `json:"local"` // host:port
	Remote string `json:"remote"`
}

// Send passes conn on to the server at the other end of out until both have ended, or ctx.
func Send(ctx context.Context, conn, out net.Conn) error {
	head, err := json.Marshal(header{conn.LocalAddr().String(), conn.RemoteAddr().String()})
	if err == nil {
		_, err = out.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(head))), head...))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pass a connection on: %w", err), conn.Close(), out.Close())
	}
	stop := context.AfterFunc(ctx, func() { _, _ = conn.Close(), out.Close() })
	defer stop()
	var copying sync.WaitGroup
	copying.Go(func() { passOn(conn, out) })
	copying.Go(func() { passOn(out, conn) })
	copying.Wait()
	return errors.Join(conn.Close(), out.Close())
}

// passOn copies one direction, and its end.
func passOn(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

// Receive reads what a worker says of a connection that it passes on.
func Receive(conn net.Conn) (net.Conn, error) {
	from, ok := link.NodeOf(conn)
	if !ok {
		return nil, errors.New("a connection is passed on by nobody known")
	}
	if err := conn.SetReadDeadline(time.Now().Add(headerTimeout)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	head := make([]byte, binary.BigEndian.Uint16(size[:]))
	if len(head) > maxHeader {
		return nil, fmt.Errorf("the header of a connection that is passed on has %d bytes", len(head))
	}
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	var h header
	if err := json.Unmarshal(head, &h); err != nil {
		return nil, err
	}
	r := &received{Conn: conn, from: from}
	for addr, text := range map[*net.Addr]string{&r.local: h.Local, &r.remote: h.Remote} {
		parsed, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, err
		}
		*addr = net.TCPAddrFromAddrPort(parsed)
	}
	return r, conn.SetReadDeadline(time.Time{})
}

// received is a connection as it was at the worker.
type received struct {
	net.Conn
	from          identity.Node
	local, remote net.Addr
}

func (r *received) LocalAddr() net.Addr  { return r.local }
func (r *received) RemoteAddr() net.Addr { return r.remote }

type byKey struct{}

// ConnContext is for http.Server: it keeps who passed a connection on.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	if node, ok := By(conn); ok {
		return context.WithValue(ctx, byKey{}, node)
	}
	return ctx
}

// From says which node passed a request on.
func From(ctx context.Context) (identity.Node, bool) {
	node, ok := ctx.Value(byKey{}).(identity.Node)
	return node, ok
}

// By says which node passed a connection on; false for one that a client made with this node itself.
func By(conn net.Conn) (identity.Node, bool) {
	for {
		switch c := conn.(type) {
		case *received:
			return c.from, true
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return identity.Node{}, false
		}
	}
}
