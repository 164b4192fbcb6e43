package network

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/sandbox"
)

// receive listens on UDP port 5000 of the pod.
func (p *pods) receive(uid string) *net.UDPConn {
	p.t.Helper()
	var l *net.UDPConn
	err := sandbox.Enter(p.ns(uid), func() (err error) {
		l, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 5000})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = l.Close() })
	return l
}

// arrives has the sender, which never pauses for long, send until the pod has something, and returns who sent it.
func arrives(t *testing.T, sender *net.UDPConn, to netip.AddrPort, pod *net.UDPConn) netip.AddrPort {
	t.Helper()
	var err error
	for range 600 {
		_, _ = sender.WriteToUDPAddrPort([]byte("log"), to) // refused while there is no pod
		_ = pod.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		var from netip.AddrPort
		if _, from, err = pod.ReadFromUDPAddrPort(make([]byte, 64)); err == nil {
			return from
		}
	}
	t.Fatalf("the pod gets nothing: %v", err)
	return netip.AddrPort{}
}

// TestASteadySenderReachesTheNextPod has one that begins before there is a pod, keeps its port, and goes on between two pods.
func TestASteadySenderReachesTheNextPod(t *testing.T) {
	p := setup(t)
	sender, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	ports := []Port{{HostPort: free(t), Port: 5000, Protocol: "UDP"}}
	to := netip.AddrPortFrom(p.pool.gateway(), ports[0].HostPort)
	for _, uid := range []string{"a", "b"} {
		_, _ = sender.WriteToUDPAddrPort([]byte("log"), to)
		addr := p.attach(uid, netip.Addr{})
		t.Cleanup(func() { p.detach(uid) })
		pod := p.receive(uid)
		var from netip.AddrPort
		for range 2 { // as a restarted covey does
			if err := p.Publish(p.id+uid, addr, ports); err != nil {
				t.Fatal(err)
			}
			if !from.IsValid() {
				from = arrives(t, sender, to, pod)
			}
		}
		if _, err := pod.WriteToUDPAddrPort([]byte("answer"), from); err != nil {
			t.Fatal(err)
		}
		_ = sender.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, by, err := sender.ReadFromUDPAddrPort(make([]byte, 64)); err != nil || by != to {
			t.Errorf("pod %s answers as %s, %v, want %s", uid, by, err, to)
		}
		p.detach(uid)
		tracked, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range tracked {
			if handedTo(addr).MatchConntrackFlow(f) {
				t.Errorf("after the end of pod %s there is %s", uid, f)
			}
		}
	}
}

func TestFlowsAstray(t *testing.T) {
	host, other, pod := netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("192.0.2.6"), netip.MustParseAddr("10.42.7.2")
	mine := func(a netip.Addr) bool { return a == host || a == other }
	for name, test := range map[string]struct {
		hostIP      netip.Addr
		to, answers string
		want        bool
	}{
		"to a pod before":         {netip.Addr{}, "192.0.2.5:514", "10.42.7.9:5000", true},
		"from between two pods":   {netip.Addr{}, "192.0.2.5:514", "192.0.2.5:514", true},
		"to another port before":  {netip.Addr{}, "192.0.2.5:514", "10.42.7.2:5001", true},
		"to the pod":              {netip.Addr{}, "192.0.2.5:514", "10.42.7.2:5000", false},
		"to a port not published": {netip.Addr{}, "192.0.2.5:515", "192.0.2.5:515", false},
		"through the machine":     {netip.Addr{}, "198.51.100.1:514", "198.51.100.1:514", false},
		"to the address":          {host, "192.0.2.5:514", "192.0.2.5:514", true},
		"to an address besides":   {host, "192.0.2.6:514", "192.0.2.6:514", false},
		"to a port that is TCP's": {netip.Addr{}, "192.0.2.5:80", "192.0.2.5:80", false},
	} {
		ports := []Port{{HostPort: 80, Port: 80, Protocol: "TCP"}, {HostIP: test.hostIP, HostPort: 514, Port: 5000, Protocol: "UDP"}}
		if got := astray(pod, ports, mine)(netip.MustParseAddrPort(test.to), netip.MustParseAddrPort(test.answers)); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
