package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

const packetBytes = 65536

// transport carries memberlist's packets over UDP and its streams over the TLS port.
type transport struct {
	cfg     Config
	locate  func(nodeID string) []string
	guard   *guard
	log     *log.Logger
	counted [2]traffic // sent, received
	packets chan *memberlist.Packet
	streams chan net.Conn
	closing context.Context // ends with Shutdown: what is being dialled then is given up
	close   context.CancelFunc
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(cfg Config, locate func(string) []string, guard *guard) *transport {
	t := &transport{cfg: cfg, locate: locate, guard: guard, log: newLogger(cfg.Log), packets: make(chan *memberlist.Packet), streams: make(chan net.Conn)}
	t.closing, t.close = context.WithCancel(context.Background())
	return t
}

// run hands on what comes in, until ctx ends.
func (t *transport) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		_ = t.cfg.Packets.Close()
		_ = t.cfg.Streams.Close()
	})
	defer stop()
	g := errgroup.Group{}
	g.Go(func() error { return t.readPackets(ctx) })
	g.Go(func() error { return t.acceptStreams(ctx) })
	return g.Wait()
}

func (t *transport) readPackets(ctx context.Context) error {
	buf := make([]byte, packetBytes)
	for {
		n, from, err := t.cfg.Packets.ReadFrom(buf)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read gossip packets: %w", err)
		case err != nil || n == 0:
			continue // such as a refusal that a peer's machine sent back
		}
		t.counted[1].add(n)
		if err := t.guard.packet(buf[:n]); err != nil {
			t.log.Printf("[ERR] a packet from %s was dropped: %v", from, err)
			continue
		}
		packet := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: now}
		select {
		case t.packets <- packet:
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *transport) acceptStreams(ctx context.Context) error {
	for {
		conn, err := t.cfg.Streams.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept gossip streams: %w", err)
		}
		select {
		case t.streams <- t.checked(conn):
		case <-ctx.Done():
			_ = conn.Close()
			return nil
		}
	}
}

// checked is what memberlist is given of a connection.
func (t *transport) checked(conn net.Conn) net.Conn {
	c := &checked{Conn: conn, guard: t.guard}
	if t.cfg.NodeOf != nil {
		c.from = t.cfg.NodeOf(conn)
	}
	return c
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return virtual(t.cfg.NodeID).AsSlice(), t.cfg.Port, nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, address string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: address})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	at := t.places(to)
	if len(at) == 0 {
		return time.Time{}, fmt.Errorf("write to node %s: %w", to.Name, errUnknown)
	}
	addr, err := netip.ParseAddrPort(at[0]) // whoever asks for an answer says where; a name would be looked up, and all else wait
	if err != nil {
		return time.Time{}, err
	}
	t.counted[0].add(len(b))
	_, err = t.cfg.Packets.WriteTo(b, net.UDPAddrFromAddrPort(addr))
	return time.Now(), err
}

var errUnknown = errors.New("nobody has said where it is")

// places are the addresses that an address of memberlist's stands for.
func (t *transport) places(to memberlist.Address) []string {
	if to.Name == "" { // one to join, or the source of a packet
		return []string{to.Addr}
	}
	return t.locate(to.Name)
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.closing, timeout)
	defer cancel()
	at := t.places(to)
	if len(at) == 0 {
		return nil, fmt.Errorf("connect with node %s: %w", to.Name, errUnknown)
	}
	conn, err := t.cfg.Dial(ctx, at, to.Name)
	if err != nil {
		return nil, err
	}
	return t.checked(conn), nil
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport; run closes what there is to close.
func (t *transport) Shutdown() error {
	t.close()
	return nil
}
