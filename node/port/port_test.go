package port

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/node/identity"
)

// start runs a port that echoes "<name> " and what it reads up to a newline, one listener for each name.
func start(t *testing.T, names ...string) (*Port, *identity.Identity) {
	t.Helper()
	id, err := identity.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Listen("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		l := p.Listener(name)
		t.Cleanup(func() { _ = l.Close() })
		go echo(l, name)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, id.NewServer("n1").TLSConfig(p.Protocols()...)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	return p, id
}

func echo(l net.Listener, name string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = io.WriteString(conn, name+" "+line)
		_ = conn.Close()
	}
}

func ask(t *testing.T, p *Port, protos ...string) (string, error) {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: protos} //nolint:gosec // who the server is does not matter here
	conn, err := tls.Dial("tcp", p.Addr().String(), cfg)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func TestProtocolsAreSplit(t *testing.T) {
	p, _ := start(t, "h2", "raft", "")
	for _, proto := range []string{"h2", "raft"} {
		if got, err := ask(t, p, proto); err != nil || got != proto+" hello\n" {
			t.Errorf("%s: answer %q, error %v", proto, got, err)
		}
	}
	if got, err := ask(t, p); err != nil || got != " hello\n" {
		t.Errorf("no protocol: answer %q, error %v", got, err)
	}
	if got, err := ask(t, p, "gopher"); err == nil {
		t.Errorf("unknown protocol: answer %q, want an error", got)
	}
}

func TestPlainHTTPIsToldSo(t *testing.T) {
	p, _ := start(t, "http/1.1")
	resp, err := http.Get("http://" + p.Addr().String() + "/version")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "HTTPS") {
		t.Errorf("status %d, body %q", resp.StatusCode, body)
	}
}

func TestASilentClientDoesNotHoldUpOthers(t *testing.T) {
	p, _ := start(t, "h2")
	for range 50 {
		conn, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	if got, err := ask(t, p, "h2"); err != nil || got != "h2 hello\n" {
		t.Errorf("answer %q, error %v", got, err)
	}
}

func TestAddressInUseIsNamed(t *testing.T) {
	p, _ := start(t, "h2")
	if _, err := Listen(p.Addr().String(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), p.Addr().String()) {
		t.Errorf("error %v, want one that names the address", err)
	}
}

// TestStrangersMakeRoomForOthers opens more connections than there is room for, in front of the one that means it.
func TestStrangersMakeRoomForOthers(t *testing.T) {
	const most = 8
	p, _ := start(t, "h2")
	p.crowd.mu.Lock()
	p.crowd.most = most
	p.crowd.mu.Unlock()
	var idle []net.Conn
	for range 3 * most {
		conn, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		idle = append(idle, conn)
	}
	if got, err := ask(t, p, "h2"); err != nil || got != "h2 hello\n" {
		t.Errorf("answer %q, error %v", got, err)
	}
	_ = idle[0].SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := idle[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest connection is still open: %v", err)
	}
}
