package harness

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"
)

// plugged are networks on one switch, the i-th at 10.98.0.i.
func plugged(t *testing.T, count int) (*Switch, []*network) {
	t.Helper()
	s := NewSwitch(t)
	var networks []*network
	for i := range count {
		n := newNetwork(t)
		if err := s.Plug(n, "eth0"); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"addr", "add", fmt.Sprintf("10.98.0.%d/24", i+1), "dev", "eth0"}, {"link", "set", "eth0", "up"}} {
			if out, err := n.output(exec.Command("ip", args...)); err != nil {
				t.Fatalf("ip %v: %v\n%s", args, err, out)
			}
		}
		networks = append(networks, n)
	}
	return s, networks
}

// sends sends datagrams from one network to the other, and returns how many arrived, and how long the first took. Each is waited for that long.
func sends(t *testing.T, from, to *network, address string, count int, wait time.Duration) (arrived int, took time.Duration) {
	t.Helper()
	var server net.PacketConn
	if err := to.enter(func() (err error) {
		server, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	client, err := from.dial(context.Background(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	began := time.Now()
	go func() {
		for range count {
			_, _ = client.Write([]byte("frame"))
		}
	}()
	buf := make([]byte, 16)
	for arrived < count {
		_ = server.SetReadDeadline(time.Now().Add(wait))
		if _, _, err := server.ReadFrom(buf); err != nil {
			return arrived, took
		}
		if arrived++; arrived == 1 {
			took = time.Since(began)
		}
	}
	return arrived, took
}

func TestSwitch(t *testing.T) {
	t.Parallel()
	s, n := plugged(t, 3)
	const first, second = "10.98.0.1:9", "10.98.0.2:9"
	const lost = 5 * time.Second // after which a frame is not coming
	all := func(what string, from, to *network, address string, want bool) {
		t.Helper()
		wait := lost
		if want {
			wait = patience
		}
		if got, _ := sends(t, from, to, address, 1, wait); (got == 1) != want {
			t.Errorf("%s: %d frames arrived", what, got)
		}
	}
	all("1 to 2", n[0], n[1], second, true)
	all("3 to 2", n[2], n[1], second, true)
	s.CutOneWay(1, 2)
	all("1 to 2, cut", n[0], n[1], second, false)
	all("2 to 1, the other way cut", n[1], n[0], first, true)
	all("3 to 2, others cut", n[2], n[1], second, true)
	s.Isolate(2)
	all("3 to 2, isolated", n[2], n[1], second, false)
	s.Mend(2, 3)
	all("3 to 2, mended", n[2], n[1], second, true)
	s.Heal()
	all("1 to 2, healed", n[0], n[1], second, true)

	s.Lose(0.5)
	if got, _ := sends(t, n[0], n[1], second, 100, lost); got < 20 || got > 80 {
		t.Errorf("%d of 100 frames arrived, want about half", got)
	}
	s.Heal()
	const delay = 200 * time.Millisecond
	s.Delay(delay)
	if got, took := sends(t, n[0], n[1], second, 10, patience); got != 10 || took < delay {
		t.Errorf("%d of 10 frames arrived, the first after %v", got, took)
	}
}
