package port

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// Divert has take look at each connection before its TLS handshake, by the protocols that the client offers. When it returns true the
// connection was its own: it has been closed. Call it before Run.
func (p *Port) Divert(take func(ctx context.Context, protos []string, conn net.Conn) bool) {
	p.divert = take
}

// diverted returns the connection as it came, unless it was taken.
func (p *Port) diverted(ctx context.Context, raw net.Conn) (conn net.Conn, taken bool) {
	if p.divert == nil {
		return raw, false
	}
	protos, conn, ok := peek(ctx, raw)
	return conn, ok && p.divert(ctx, protos, conn)
}

var errPeeked = errors.New("what the client offers is known")

// peek reads what a client offers. The connection that it returns begins with what was read; ok is false when that was no TLS.
func peek(ctx context.Context, raw net.Conn) (protos []string, conn net.Conn, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	rec := &recorder{Conn: raw}
	err := tls.Server(rec, &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			protos = hello.SupportedProtos
			return nil, errPeeked
		},
	}).HandshakeContext(ctx)
	return protos, &replayed{Conn: raw, head: rec.read}, errors.Is(err, errPeeked)
}

// recorder keeps what is read, and says nothing to the other end.
type recorder struct {
	net.Conn
	read []byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.read = append(r.read, b[:n]...)
	return n, err
}

func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }

// replayed is a connection of which some was read already.
type replayed struct {
	net.Conn
	head []byte
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(b, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// NetConn is the connection below.
func (r *replayed) NetConn() net.Conn { return r.Conn }
