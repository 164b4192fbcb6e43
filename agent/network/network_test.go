package network

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"covey.dev/covey/agent/sandbox"
)

// pods makes a network of its own and pinned namespaces to attach to it.
type pods struct {
	t    *testing.T
	id   string
	cidr netip.Prefix
	*Network
	dir string
}

func setup(t *testing.T) *pods {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	cidr, err := ChooseCIDR(110)
	if err != nil {
		t.Fatal(err)
	}
	p := &pods{t: t, id: fmt.Sprintf("%08x", time.Now().UnixNano()&0xffffffff), cidr: cidr, dir: t.TempDir()}
	p.open()
	t.Cleanup(func() {
		for range 2 {
			if err := Teardown(p.id); err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

func (p *pods) open() {
	p.t.Helper()
	n, err := Open(Config{InstanceID: p.id, CIDR: p.cidr, Overlay: OverlayVXLAN})
	if err != nil {
		p.t.Fatal(err)
	}
	p.Network = n
}

func (p *pods) ns(uid string) string { return filepath.Join(p.dir, uid, "net") }

func (p *pods) attach(uid string, known netip.Addr) netip.Addr {
	p.t.Helper()
	if _, err := sandbox.Pin(filepath.Join(p.dir, uid), sandbox.Options{Hostname: uid}); err != nil {
		p.t.Fatal(err)
	}
	addr, err := p.Attach(p.id+uid, p.ns(uid), known)
	if err != nil {
		p.t.Fatal(err)
	}
	return addr
}

func (p *pods) detach(uid string) {
	p.t.Helper()
	for range 2 {
		if err := errors.Join(p.Detach(p.id+uid), sandbox.Unpin(filepath.Join(p.dir, uid))); err != nil {
			p.t.Error(err)
		}
	}
	if _, err := netlink.LinkByName(vethName(p.id + uid)); !isMissing(err) {
		p.t.Errorf("the veth pair is left: %v", err)
	}
}

// serve greets on a port of the pod and tells who calls.
func (p *pods) serve(uid string) {
	p.t.Helper()
	var l net.Listener
	err := sandbox.Enter(p.ns(uid), func() (err error) {
		l, err = net.Listen("tcp4", ":5000")
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	p.t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "%s hears %s\n", uid, conn.RemoteAddr().(*net.TCPAddr).IP)
			_ = conn.Close()
		}
	}()
}

func greeting(addr netip.Addr) (string, error) {
	conn, err := net.DialTimeout("tcp4", net.JoinHostPort(addr.String(), "5000"), 30*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return bufio.NewReader(conn).ReadString('\n')
}

func TestPodsReachEachOther(t *testing.T) {
	p := setup(t)
	a, b := p.attach("a", netip.Addr{}), p.attach("b", netip.Addr{})
	defer p.detach("a")
	defer p.detach("b")
	p.serve("a")
	for from, want := range map[string]netip.Addr{p.ns("b"): b, p.ns("a"): a} {
		err := sandbox.Enter(from, func() error {
			got, err := greeting(a)
			if err == nil && got != fmt.Sprintf("a hears %s\n", want) {
				err = errors.New(got)
			}
			return err
		})
		if err != nil {
			t.Errorf("from %s: %v", want, err)
		}
	}
	if got, err := greeting(a); err != nil || got != fmt.Sprintf("a hears %s\n", p.pool.gateway()) {
		t.Errorf("from the machine: %q, %v", got, err)
	}
}

func TestAddressesLast(t *testing.T) {
	p := setup(t)
	a := p.attach("a", netip.Addr{})
	p.open() // covey starts again
	if again := p.attach("a", netip.Addr{}); again != a {
		t.Errorf("a pod that runs has %s, before %s", again, a)
	}
	p.detach("a")
	p.open() // the machine starts again: a new pod comes first, and must not take the old one's address
	p.Reserve(p.id+"a", a)
	if b := p.attach("b", netip.Addr{}); b == a {
		t.Errorf("%s is given to two pods", a)
	}
	if again := p.attach("a", a); again != a {
		t.Errorf("after a reboot a pod has %s, before %s", again, a)
	}
	p.detach("a")
	p.detach("b")
}

// TestNoTwoPodsHaveOneAddress has covey start again and not know of a pod that is there.
func TestNoTwoPodsHaveOneAddress(t *testing.T) {
	p := setup(t)
	a := p.attach("a", netip.Addr{})
	t.Cleanup(func() { p.detach("a") })
	p.open()
	b := p.attach("b", netip.Addr{})
	t.Cleanup(func() { p.detach("b") })
	if b != a {
		t.Fatalf("the new pod has %s, want %s", b, a)
	}
	if again, err := p.Attach(p.id+"a", p.ns("a"), a); err == nil || !strings.Contains(err.Error(), "address "+a.String()+" is that of the pod with UID "+p.id+"b") {
		t.Errorf("%s is given to two pods: %s, %v", a, again, err)
	}
	if again := p.attach("a", a); again == b {
		t.Errorf("%s is given to two pods", again)
	}
	if again := p.attach("b", b); again != b {
		t.Errorf("the pod that was there first has %s, before %s", again, b)
	}
}

func TestPool(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.42.7.0/29"))
	var last netip.Addr
	for i, want := range []string{"10.42.7.2", "10.42.7.3", "10.42.7.4", "10.42.7.5", "10.42.7.6"} {
		got, err := p.allocate(fmt.Sprint(i), netip.Addr{})
		if err != nil || got.String() != want {
			t.Fatalf("%s, %v, want %s", got, err, want)
		}
		last = got
	}
	if _, err := p.allocate("more", netip.Addr{}); err == nil {
		t.Error("an address was given twice")
	}
	p.release("1")
	p.release("4")
	if got, _ := p.allocate("5", last); got != last {
		t.Errorf("%s, want the one asked for, %s", got, last)
	}
	if got, _ := p.allocate("6", last); got.String() != "10.42.7.3" {
		t.Errorf("%s, want the free one", got)
	}
}

func TestChooseCIDRAvoidsWhatIsInUse(t *testing.T) {
	used := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/25"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.42.1.9/32")}
	for cidr, want := range map[string]bool{"10.42.0.0/24": true, "10.42.1.0/24": true, "10.42.2.0/24": false} {
		if got := overlaps(used, netip.MustParsePrefix(cidr)); got != want {
			t.Errorf("%s overlaps: %v", cidr, got)
		}
	}
}

func TestChooseCIDRHasRoom(t *testing.T) {
	for pods, want := range map[int]int{0: 24, 110: 24, 127: 23, 500: 22, 2000: 20, 40000: 16} {
		if got := bitsFor(pods); got != want {
			t.Errorf("for %d pods: a /%d, want a /%d", pods, got, want)
		}
	}
}
