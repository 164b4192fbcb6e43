package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// network is a network namespace that lives as long as the file is open, and has only lo.
type network struct {
	file *os.File
}

func newNetwork(t T) *network {
	t.Helper()
	n := &network{}
	err := onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace (are you root?): %w", err)
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.file.Close() })
	if out, err := n.output(exec.Command("ip", "link", "set", "lo", "up")); err != nil {
		t.Fatalf("set lo up: %v\n%s", err, out)
	}
	return n
}

// SetLoopback sets the node's only interface up or down. While it is down nothing reaches covey, not even from its own machine.
func (n *Node) SetLoopback(state string) {
	n.t.Helper()
	if out, err := n.net.output(exec.Command("ip", "link", "set", "lo", state)); err != nil {
		n.t.Fatalf("set lo %s: %v\n%s", state, err, out)
	}
}

// enter runs fn on a thread in the namespace. Processes and sockets made by fn are in it; goroutines are not.
func (n *network) enter(fn func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		return fn()
	})
}

func (n *network) start(cmd *exec.Cmd) error { return n.enter(cmd.Start) }

func (n *network) output(cmd *exec.Cmd) ([]byte, error) {
	var out []byte
	err := n.enter(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	return out, err
}

func (n *network) dial(ctx context.Context, proto, addr string) (net.Conn, error) {
	var conn net.Conn
	err := n.enter(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, proto, addr)
		return err
	})
	return conn, err
}

// inode tells the namespace from others: processes in it have it in /proc/PID/ns/net.
func (n *network) inode() uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(n.file.Fd()), &st); err != nil {
		return 0
	}
	return st.Ino
}

// onOwnThread runs fn on a thread that ends with it, because its namespace is no longer the process's.
func onOwnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		done <- fn()
	}()
	return <-done
}
