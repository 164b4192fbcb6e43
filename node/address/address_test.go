package address

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestChoose(t *testing.T) {
	machine := []iface{
		{up: true, loopback: true, addrs: prefixes("127.0.0.1/8", "10.255.0.1/32")},
		{up: true, addrs: prefixes("10.0.0.5/24", "fe80::1/64", "fd00::5/64")},
		{up: true, addrs: prefixes("192.0.2.5/24")},
		{up: false, addrs: prefixes("198.51.100.5/24")},
		{up: true, bridge: true, ports: []string{"veth", "veth"}, addrs: prefixes("172.17.0.1/16")},
		{up: true, bridge: true, addrs: prefixes("172.18.0.1/16")},
		{up: true, bridge: true, ports: []string{"device", "veth"}, addrs: prefixes("192.168.1.5/24")},
	}
	got := choose(machine, []netip.Addr{netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::5")})
	want := prefixes("192.168.1.5/24", "fd00::5/64", "10.0.0.5/24", "192.0.2.5/24")
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	many := iface{up: true}
	for i := range byte(20) {
		many.addrs = append(many.addrs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 24))
	}
	if got := choose([]iface{many}, nil); len(got) != most {
		t.Errorf("of 20 addresses %d are told", len(got))
	}
	if got := only(netip.MustParseAddr("192.0.2.5"), machine); got != prefixes("192.0.2.5/24")[0] {
		t.Errorf("the address that was asked for is %v", got)
	}
	if got := only(netip.MustParseAddr("203.0.113.9"), machine); got != prefixes("203.0.113.9/32")[0] {
		t.Errorf("an address that something between translates is %v", got)
	}
}

func TestEveryone(t *testing.T) {
	machine := []iface{
		{name: "lo", up: true, loopback: true, addrs: prefixes("127.0.0.1/8")},
		{name: "eth0", up: true, shared: true, addrs: prefixes("10.0.0.5/22", "10.0.1.9/22", "fe80::1/64", "fd00::5/64", "fd00::6/64")},
		{name: "down0", shared: true, addrs: prefixes("198.51.100.5/24")},
		{name: "tun0", up: true, addrs: prefixes("192.0.2.5/24")},
		{name: "eth1", up: true, shared: true, addrs: prefixes("192.0.2.4/31", "192.0.2.9/32")},
		{name: "br0", up: true, shared: true, bridge: true, ports: []string{"veth"}, addrs: prefixes("172.17.0.1/16")},
	}
	for only, want := range map[string][]string{
		"": {"10.0.3.255", "ff02::1%eth0"}, "10.0.1.9": {"10.0.3.255"}, "fd00::6": {"ff02::1%eth0"}, "203.0.113.9": nil,
	} {
		address, _ := netip.ParseAddr(only)
		var got []string
		for _, a := range everyone(machine, address) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %q: %v, want %v", only, got, want)
		}
	}
}

// onItsOwn runs a test in a network namespace that has only lo, which is down.
func onItsOwn(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and the namespace with it
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		test(t)
	}()
	<-done
}

// TestChangesAreNoticed has a machine without any address get one, another one and lose both.
func TestChangesAreNoticed(t *testing.T) { onItsOwn(t, noticeChanges) }

// TestLostNoticesAreTold has notices end, as when there were too many: in between, a link may have been down and have lost its
// routes, and have the addresses of before again.
func TestLostNoticesAreTold(t *testing.T) {
	onItsOwn(t, func(t *testing.T) {
		a := New("", net.IPv6unspecified)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		told := false
		_ = a.watch(ctx, func(moved bool) {
			told = true
			if moved {
				t.Error("the addresses are said to be others")
			}
			cancel()
		}, true)
		if !told {
			t.Error("nothing was told")
		}
	})
}

func noticeChanges(t *testing.T) {
	up := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, Mode: netlink.TUNTAP_MODE_TAP, Queues: 1}
	if err := errors.Join(netlink.LinkAdd(up), netlink.LinkSetUp(up)); err != nil {
		t.Skipf("no interface can be made: %v", err)
	}
	defer func() { _ = up.Fds[0].Close() }()
	a := New("", net.IPv6unspecified)
	if got := a.List(); !slices.Equal(got, prefixes("127.0.0.1/8")) {
		t.Errorf("without an address: %v", got)
	}
	kernel, err := netlink.NewHandle(unix.NETLINK_ROUTE) // of this namespace, whatever thread uses it
	if err != nil {
		t.Error(err)
		return
	}
	defer kernel.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	moved := make(chan struct{}, 1)
	go func() {
		defer cancel()
		one, _ := netlink.ParseAddr("10.0.0.5/24")
		two, _ := netlink.ParseAddr("10.0.9.6/24")
		for _, step := range []struct {
			what   string
			change func() error
			want   []netip.Prefix
		}{
			{"a first address", func() error { return kernel.AddrAdd(up, one) }, prefixes("10.0.0.5/24")},
			{"another one in its place", func() error { return errors.Join(kernel.AddrDel(up, one), kernel.AddrAdd(up, two)) }, prefixes("10.0.9.6/24")},
			{"none", func() error { return kernel.AddrDel(up, two) }, prefixes("10.0.9.6/24")},
		} {
			if err := step.change(); err != nil {
				t.Errorf("%s: %v", step.what, err)
				return
			}
			for !slices.Equal(a.List(), step.want) {
				select {
				case <-moved:
				case <-ctx.Done():
					t.Errorf("%s: %v, want %v", step.what, a.List(), step.want)
					return
				}
			}
		}
	}()
	err = a.Run(ctx, func(others bool) {
		if others {
			select {
			case moved <- struct{}{}:
			default: // it has not looked since the last time
			}
		}
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Error(err)
	}
}
