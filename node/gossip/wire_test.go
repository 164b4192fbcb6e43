package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// wire is a network in memory that may lose packets, and counts what is sent.
type wire struct {
	hosts map[string]*host // by address; does not change while it is used
	loss  atomic.Int64     // packets of a thousand
}

// host is one machine on it: a net.PacketConn and a net.Listener.
type host struct {
	wire    *wire
	addr    *net.UDPAddr
	packets chan packet
	streams chan net.Conn
	closed  chan struct{}
	down    atomic.Bool // its power is cut

	sent, bytes, streamed atomic.Int64 // packets, their bytes with IP's and UDP's headers, and bytes in streams
}

type packet struct {
	data []byte
	from net.Addr
}

// add plugs a host in.
func (w *wire) add(i int) *host {
	h := &host{
		wire: w, addr: &net.UDPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)).To4(), Port: 7443},
		packets: make(chan packet, 4096), streams: make(chan net.Conn, 4096), closed: make(chan struct{}),
	}
	w.hosts[h.addr.String()] = h
	return h
}

func (h *host) addresses() []netip.Addr { return []netip.Addr{h.addr.AddrPort().Addr()} }

// headers are those of IP and UDP.
const headers = 28

// WriteTo implements net.PacketConn.
func (h *host) WriteTo(data []byte, to net.Addr) (int, error) {
	if h.down.Load() {
		return len(data), nil
	}
	h.sent.Add(1)
	h.bytes.Add(int64(len(data) + headers))
	dest := h.wire.hosts[to.String()]
	if dest == nil || dest.down.Load() || rand.Int64N(1000) < h.wire.loss.Load() {
		return len(data), nil
	}
	select {
	case dest.packets <- packet{append([]byte(nil), data...), h.addr}:
	default: // its socket's buffer is full
	}
	return len(data), nil
}

// ReadFrom implements net.PacketConn.
func (h *host) ReadFrom(buf []byte) (int, net.Addr, error) {
	select {
	case p := <-h.packets:
		return copy(buf, p.data), p.from, nil
	case <-h.closed:
		return 0, nil, net.ErrClosed
	}
}

// Close implements net.PacketConn and net.Listener, which are closed together.
func (h *host) Close() error {
	select {
	case <-h.closed:
	default:
		close(h.closed)
	}
	return nil
}

func (h *host) LocalAddr() net.Addr              { return h.addr }
func (h *host) SetDeadline(time.Time) error      { return nil }
func (h *host) SetReadDeadline(time.Time) error  { return nil }
func (h *host) SetWriteDeadline(time.Time) error { return nil }

// Addr implements net.Listener.
func (h *host) Addr() net.Addr { return h.addr }

// Accept implements net.Listener.
func (h *host) Accept() (net.Conn, error) {
	select {
	case c := <-h.streams:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// dial connects with another host. One without power does not answer.
func (h *host) dial(ctx context.Context, addresses []string, _ string) (net.Conn, error) {
	dest := h.wire.hosts[addresses[0]]
	if dest == nil || dest.down.Load() || h.down.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	here, there := net.Pipe()
	select {
	case dest.streams <- &countedConn{there, dest}:
		return &countedConn{here, h}, nil
	default:
		return nil, errors.Join(here.Close(), there.Close(), fmt.Errorf("%s accepts no more connections", dest.addr))
	}
}

// countedConn counts what its host writes.
type countedConn struct {
	net.Conn
	host *host
}

func (c *countedConn) Write(data []byte) (int, error) {
	c.host.streamed.Add(int64(len(data)))
	return c.Conn.Write(data)
}
