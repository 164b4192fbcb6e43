package node

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/node/port"
)

// answering serves clients as a node does, with 404, and returns how to dial it with a certificate and without.
func answering(t *testing.T) (address string, known, stranger func(proto string) *tls.Config) {
	t.Helper()
	c := newCluster(t)
	p, err := port.Listen("127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	l, cert := p.Listener("h2", "http/1.1"), c.ca.NewServer("n1")
	ctx, end := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx, cert.TLSConfig(p.Protocols()...)) })
	g.Go(func() error { return serveClients(ctx, l, http.NotFoundHandler(), quiet) })
	t.Cleanup(func() {
		end()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	known = func(proto string) *tls.Config { return cert.DialConfig("", proto) }
	stranger = func(proto string) *tls.Config {
		cfg := known(proto)
		cfg.GetClientCertificate = nil
		return cfg
	}
	return p.Addr().String(), known, stranger
}

// TestAStrangerMaySayLittle sends long headers with a certificate and without.
func TestAStrangerMaySayLittle(t *testing.T) {
	address, known, stranger := answering(t)
	ask := func(cfg *tls.Config, header int) int {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", header))
		resp, err := client.Do(req)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, proto := range []string{"h2", "http/1.1"} {
		for header, answered := range map[int]bool{strangerHeaders / 2: true, 3 * strangerHeaders: false} {
			if status := ask(stranger(proto), header); (status == http.StatusNotFound) != answered {
				t.Errorf("%s: a stranger with %d bytes of headers is answered %d", proto, header, status)
			}
		}
		if status := ask(known(proto), 20*strangerHeaders); status != http.StatusNotFound {
			t.Errorf("%s: who has shown a certificate is answered %d", proto, status)
		}
	}
}

// TestAStrangerMayAskLittleAtOnce reads how many requests a connection may have.
func TestAStrangerMayAskLittleAtOnce(t *testing.T) {
	address, known, stranger := answering(t)
	if n := streams(t, address, stranger("h2")); n != strangerRequests {
		t.Errorf("a stranger may send %d requests at once", n)
	}
	if n := streams(t, address, known("h2")); n < 100 {
		t.Errorf("who has shown a certificate may send %d requests at once", n)
	}
}

// streams is what the server's first SETTINGS frame says of SETTINGS_MAX_CONCURRENT_STREAMS.
func streams(t *testing.T, address string, cfg *tls.Config) uint32 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const header, settings, mostStreams = 9, 4, 3
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+string([]byte{0, 0, 0, settings, 0, 0, 0, 0, 0})); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, header)
	if _, err := io.ReadFull(conn, frame); err != nil || frame[3] != settings {
		t.Fatalf("the first frame is %v: %v", frame, err)
	}
	body := make([]byte, binary.BigEndian.Uint16(frame[1:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	for ; len(body) >= 6; body = body[6:] {
		if binary.BigEndian.Uint16(body) == mostStreams {
			return binary.BigEndian.Uint32(body[2:])
		}
	}
	t.Fatal("the server does not say how many requests it takes at once")
	return 0
}

// pipes is a listener for the ends of pipes.
type pipes struct {
	*passed
	addr net.Addr
}

func (p pipes) Addr() net.Addr { return p.addr }

// TestAStrangerHasLittleTime has one stop in the middle of what it says.
func TestAStrangerHasLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipes{&passed{conns: make(chan net.Conn), closed: make(chan struct{})}, &net.TCPAddr{}}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- serveStrangers(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); errors.Is(err, os.ErrDeadlineExceeded) {
					w.WriteHeader(http.StatusTeapot)
				}
			}), quiet)
		}()
		here, there := net.Pipe()
		l.take(there)
		if _, err := io.WriteString(here, "POST / HTTP/1.1\r\nHost: n1\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(here), nil)
		if err != nil || resp.StatusCode != http.StatusTeapot {
			t.Errorf("%+v, %v", resp, err)
		}
		_ = here.Close()
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
