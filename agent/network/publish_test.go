package network

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/agent/sandbox"
)

// free is a port of the machine that nobody listens on.
func free(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func hears(addr netip.AddrPort) (string, error) {
	conn, err := net.DialTimeout("tcp4", addr.String(), 30*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	line := make([]byte, 64)
	read, err := conn.Read(line)
	return strings.TrimSpace(string(line[:read])), err
}

func TestPublishedPorts(t *testing.T) {
	p := setup(t)
	a := p.attach("a", netip.Addr{})
	p.attach("b", netip.Addr{})
	defer p.detach("b")
	p.serve("a")
	port := free(t)
	uid, published := p.id+"a", []Port{{HostPort: port, Port: 5000, Protocol: "TCP"}}
	for range 2 { // as a restarted covey does
		if err := p.Publish(uid, a, published); err != nil {
			t.Fatal(err)
		}
		p.open()
		p.attach("a", netip.Addr{})
	}
	if rules, err := p.publishedRules(uid); err != nil || len(rules) != 2 {
		t.Errorf("the pod has %d rules, %v", len(rules), err)
	}

	gateway := p.pool.gateway()
	loopback := netip.MustParseAddr("127.0.0.1")
	want := "a hears " + gateway.String()
	for what, from := range map[string]string{"the machine": "", "another pod": p.ns("b"), "the pod itself": p.ns("a")} {
		for _, to := range []netip.Addr{gateway, loopback} {
			if from != "" && to == loopback {
				continue
			}
			var got string
			var err error
			dial := func() error { got, err = hears(netip.AddrPortFrom(to, port)); return err }
			if from == "" {
				_ = dial()
			} else {
				_ = sandbox.Enter(from, dial)
			}
			if err != nil || got != want {
				t.Errorf("from %s at %s: %q, %v, want %q", what, to, got, err, want)
			}
		}
	}

	// Only one address of the machine.
	published[0].HostIP = loopback
	if err := p.Publish(uid, a, published); err != nil {
		t.Fatal(err)
	}
	if got, err := hears(netip.AddrPortFrom(loopback, port)); err != nil || got != want {
		t.Errorf("at 127.0.0.1: %q, %v", got, err)
	}
	if got, err := hears(netip.AddrPortFrom(gateway, port)); err == nil {
		t.Errorf("at an address that is not published: %q", got)
	}

	p.detach("a")
	if got, err := hears(netip.AddrPortFrom(loopback, port)); err == nil {
		t.Errorf("after the pod's end: %q", got)
	}
	if rules, err := p.publishedRules(uid); err != nil || len(rules) > 0 {
		t.Errorf("after its end the pod has %d rules, %v", len(rules), err)
	}
}
