package harness

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// Terminal is a command that runs in a terminal, with a person before it.
type Terminal struct {
	node   *Node
	tty    *os.File
	cancel context.CancelFunc
	exited chan int

	mu     sync.Mutex
	screen bytes.Buffer
}

// Terminal starts kubectl or covey in a terminal of the given size.
func (n *Node) Terminal(rows, columns uint16, program string, args ...string) *Terminal {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := n.command(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{} // the terminal makes it a session of its own
	term := &Terminal{node: n, cancel: cancel, exited: make(chan int, 1)}
	err := n.net.enter(func() (err error) {
		term.tty, err = pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: columns})
		return err
	})
	if err != nil {
		cancel()
		n.t.Fatalf("start %s in a terminal: %v", program, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		chunk := make([]byte, 4096)
		for {
			k, err := term.tty.Read(chunk)
			term.mu.Lock()
			term.screen.Write(chunk[:k])
			term.mu.Unlock()
			if err != nil { // the terminal is gone with its last process
				return
			}
		}
	}()
	go func() {
		<-read
		_ = cmd.Wait()
		term.exited <- cmd.ProcessState.ExitCode()
	}()
	n.t.Cleanup(func() {
		cancel()
		_ = term.tty.Close()
	})
	return term
}

// Type sends what a person types; "\r" is the return key.
func (t *Terminal) Type(keys string) {
	t.node.t.Helper()
	if _, err := t.tty.WriteString(keys); err != nil {
		t.node.t.Fatalf("type %q: %v", keys, err)
	}
}

// Resize changes the size of the window.
func (t *Terminal) Resize(rows, columns uint16) {
	t.node.t.Helper()
	if err := pty.Setsize(t.tty, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		t.node.t.Fatalf("resize the terminal: %v", err)
	}
}

// Shows waits until the screen shows the text.
func (t *Terminal) Shows(text string) {
	t.node.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		t.mu.Lock()
		screen := t.screen.String()
		t.mu.Unlock()
		if strings.Contains(screen, text) {
			return
		}
		if time.Now().After(deadline) {
			t.node.t.Fatalf("the terminal does not show %q after %v; it shows:\n%s", text, patience, screen)
		}
	}
}

// ExitCode waits for the command to end.
func (t *Terminal) ExitCode() int {
	t.node.t.Helper()
	select {
	case code := <-t.exited:
		return code
	case <-time.After(patience):
		t.node.t.Fatalf("the command in the terminal has not ended after %v", patience)
		return 0
	}
}
