package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

const packetBytes = 65536

// transport carries memberlist's packets over UDP and its streams over the TLS port.
type transport struct {
	cfg     Config
	packets chan *memberlist.Packet
	streams chan net.Conn
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(cfg Config) *transport {
	return &transport{cfg: cfg, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn)}
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
		case t.streams <- conn:
		case <-ctx.Done():
			_ = conn.Close()
			return nil
		}
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.cfg.Address, t.cfg.Port, nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, address string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: address})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	addr, err := net.ResolveUDPAddr("udp", to.Addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.cfg.Packets.WriteTo(b, addr)
	return time.Now(), err
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.cfg.Dial(ctx, to.Addr, to.Name)
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport; run closes what there is to close.
func (t *transport) Shutdown() error { return nil }
