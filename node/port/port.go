package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// handshakeTimeout bounds how long a connection may take to say who it is.
const handshakeTimeout = 10 * time.Second

// Port accepts TLS connections and hands each to the listener of its protocol.
type Port struct {
	tcp    net.Listener
	tls    *tls.Config
	log    *slog.Logger
	routes map[string]*Listener
	names  []string
	crowd  crowd
	divert func(ctx context.Context, protos []string, conn net.Conn) bool
}

// Listen opens addr ("0.0.0.0:7443"). Nothing is accepted before Run.
func Listen(addr string, log *slog.Logger) (*Port, error) {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &Port{tcp: tcp, log: log, routes: map[string]*Listener{}, crowd: crowd{most: mostStrangers}}, nil
}

// Addr is the address that was opened, with its real port.
func (p *Port) Addr() *net.TCPAddr { return p.tcp.Addr().(*net.TCPAddr) }

// Listener serves the connections that negotiate one of protos; "" stands for clients that name none. Call it before Run.
func (p *Port) Listener(protos ...string) *Listener {
	l := &Listener{addr: p.tcp.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
	for _, proto := range protos {
		p.routes[proto] = l
		if proto != "" {
			p.names = append(p.names, proto)
		}
	}
	return l
}

// Protocols are the ALPN names that have a listener, in the order of preference.
func (p *Port) Protocols() []string { return p.names }

// Run accepts connections until ctx ends, then closes the port and waits for the handshakes under way.
func (p *Port) Run(ctx context.Context, cfg *tls.Config) error {
	p.tls = cfg
	stop := context.AfterFunc(ctx, func() { _ = p.tcp.Close() })
	defer stop()
	var handshakes sync.WaitGroup
	defer handshakes.Wait()
	for {
		conn, err := p.tcp.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if !retry(ctx, err) {
				return fmt.Errorf("accept on %s: %w", p.tcp.Addr(), err)
			}
			continue
		}
		stranger := p.crowd.add(conn) // here, in the order in which they come: the oldest makes room
		handshakes.Go(func() { p.route(ctx, stranger, func(string) bool { return true }) })
	}
}

// Serve hands a connection to the listener of its protocol, as if the port had accepted it, if that is one of protos. Run has begun.
func (p *Port) Serve(ctx context.Context, conn net.Conn, protos ...string) {
	p.route(ctx, p.crowd.add(conn), func(proto string) bool { return slices.Contains(protos, proto) })
}

// Close closes the port when Run was never called.
func (p *Port) Close() error { return p.tcp.Close() }

// retry waits a little after an error that passes, such as too many open files.
func retry(ctx context.Context, err error) bool {
	var ne net.Error
	if !errors.As(err, &ne) || errors.Is(err, net.ErrClosed) {
		return false
	}
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
	return true
}

func (p *Port) route(ctx context.Context, raw *stranger, may func(proto string) bool) {
	below, taken := p.diverted(ctx, raw)
	if taken {
		return
	}
	conn := tls.Server(below, p.tls)
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(hctx); err != nil {
		p.refuse(raw, err)
		return
	}
	state := conn.ConnectionState()
	if len(state.VerifiedChains) > 0 {
		raw.known()
	}
	l := p.routes[state.NegotiatedProtocol]
	if l == nil || !may(state.NegotiatedProtocol) || !l.deliver(ctx, conn) {
		_ = conn.Close()
	}
}

func (p *Port) refuse(raw net.Conn, err error) {
	defer func() { _ = raw.Close() }()
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil && looksLikeHTTP(header.RecordHeader) {
		_, _ = io.WriteString(header.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		return
	}
	p.log.Debug("TLS handshake failed", "remote", raw.RemoteAddr().String(), "error", err)
}

func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "OPTIO", "DELET":
		return true
	}
	return false
}

// Listener is the net.Listener of some protocols.
type Listener struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Turn listens for the same connections until it is closed, which leaves l open.
func (l *Listener) Turn() *Listener {
	return &Listener{addr: l.addr, conns: l.conns, closed: make(chan struct{})}
}

func (l *Listener) deliver(ctx context.Context, conn net.Conn) bool {
	select {
	case l.conns <- conn:
		return true
	case <-l.closed:
	case <-ctx.Done():
	}
	return false
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }
