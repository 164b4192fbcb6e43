package main

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"covey.dev/covey/agent/containerd/output"
)

// slowClient is how long an attached client may hold the container's output up before it is dropped.
const slowClient = 10 * time.Second

// attachments are the clients that see a container's output as it comes, and may feed its input.
type attachments struct {
	listener   *net.UnixListener
	stdin      *os.File // nil when the container has no input
	once       bool     // the first client's input is all there is
	closeStdin func()   // ends the container's input

	mu      sync.Mutex
	clients map[*net.UnixConn]struct{}
	over    bool
}

// serve lets clients in until end is called.
func (a *attachments) serve() {
	for {
		conn, err := a.listener.AcceptUnix()
		if err != nil {
			return
		}
		go a.attend(conn)
	}
}

// attend takes one client's input until it has gone.
func (a *attachments) attend(conn *net.UnixConn) {
	var greeting [1]byte
	if _, err := io.ReadFull(conn, greeting[:]); err != nil || !a.add(conn) {
		_ = conn.Close()
		return
	}
	if greeting[0] != output.WithInput || a.stdin == nil {
		_, _ = io.Copy(io.Discard, conn) // until it has gone
		a.drop(conn)
		return
	}
	_, err := io.Copy(a.stdin, conn)
	if a.once {
		a.closeStdin()
		if err == nil {
			return // it still sees the output
		}
	}
	a.drop(conn)
}

func (a *attachments) add(conn *net.UnixConn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return false
	}
	if _, err := conn.Write(output.Frame(output.Attached, nil)); err != nil {
		return false
	}
	a.clients[conn] = struct{}{}
	return true
}

func (a *attachments) drop(conn *net.UnixConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.clients, conn)
	_ = conn.Close()
}

// send gives output to all clients, one after the other, so that each sees it in order.
func (a *attachments) send(stream byte, content []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.clients) == 0 {
		return
	}
	frame := output.Frame(stream, content)
	for conn := range a.clients {
		_ = conn.SetWriteDeadline(time.Now().Add(slowClient))
		if _, err := conn.Write(frame); err != nil {
			delete(a.clients, conn)
			_ = conn.Close()
		}
	}
}

// end tells the clients that there will be no more output. It may be called again.
func (a *attachments) end() {
	if a == nil {
		return
	}
	_ = a.listener.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for conn := range a.clients {
		_ = conn.Close()
	}
	clear(a.clients)
}

// tee shows what is read to the clients too.
type tee struct {
	from   io.Reader
	stream byte
	to     *attachments
}

func (t tee) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if n > 0 {
		t.to.send(t.stream, p[:n])
	}
	return n, err
}

// inputCloser ends a container's input, once.
func (s *service) inputCloser(ctx context.Context, id string, stdin *os.File) func() {
	return sync.OnceFunc(func() {
		_ = stdin.Close()
		s.closeInput(context.WithoutCancel(ctx), id)
	})
}
