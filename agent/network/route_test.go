package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/google/nftables"
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

func TestSharedLink(t *testing.T) {
	for _, test := range []struct {
		what        string
		own, theirs []netip.Prefix
		want        string
	}{
		{"the same network", prefixes("10.0.0.1/24"), prefixes("10.0.0.2/24"), "10.0.0.2"},
		{"different networks", prefixes("10.0.0.1/24"), prefixes("10.0.1.2/24"), ""},
		{"only one of them thinks so", prefixes("10.0.0.1/16"), prefixes("10.0.1.2/24"), ""},
		{"the second address of each", prefixes("10.0.0.1/24", "10.8.0.1/24"), prefixes("10.0.1.2/24", "10.8.0.2/24"), "10.8.0.2"},
		{"IPv6", prefixes("fd00::1/64"), prefixes("10.0.1.2/24", "fd00::2/64"), "fd00::2"},
		{"an address that something between translates", prefixes("192.0.2.1/32"), prefixes("192.0.2.2/32"), ""},
		{"the same private address at two sites", prefixes("192.168.1.5/24"), prefixes("192.168.1.5/24"), ""},
		{"nodes without a network", prefixes("127.0.0.1/8"), prefixes("127.0.0.2/8"), ""},
	} {
		got, ok := sharedLink(test.own, test.theirs)
		if ok != (test.want != "") || ok && got.String() != test.want {
			t.Errorf("%s: %v %v, want %q", test.what, got, ok, test.want)
		}
	}
}

func TestNoWayLeadsPodsOverTheMachinesNetworks(t *testing.T) {
	own := prefixes("192.168.1.5/24", "10.42.200.9/24", "fd00::5/64")
	for cidr, want := range map[string]bool{
		"10.42.1.0/24": true, "10.42.16.0/20": true, "10.42.201.0/24": true,
		"0.0.0.0/0": false, "192.168.1.9/32": false, "192.168.1.0/24": false, "10.0.0.0/8": false, "10.43.0.0/24": false, "::/0": false,
		"10.42.200.0/24": false, "10.42.200.9/32": false,
	} {
		good, errs := routable(own, []Peer{{Name: "n", CIDR: netip.MustParsePrefix(cidr)}})
		if got := len(good) == 1; got != want || len(errs) == len(good) {
			t.Errorf("%s: routed %v, want %v; %v", cidr, got, want, errs)
		}
	}
}

// inNewNetwork calls fn in a network namespace with one network, 10.9.1.0/24 and fd09:1::/64, and a router in it.
func inNewNetwork(t *testing.T, fn func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and the namespace with it
		if err := errors.Join(unix.Unshare(unix.CLONE_NEWNET), router()); err != nil {
			t.Errorf("make a network: %v", err)
			return
		}
		fn()
	}()
	<-done
}

func router() error {
	up := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "up0", MTU: 1400}}
	if err := errors.Join(netlink.LinkAdd(up), netlink.LinkSetUp(up)); err != nil {
		return err
	}
	for network, router := range map[string]string{"10.9.1.1/24": "10.9.1.254", "fd09:1::1/64": "fd09:1::254"} {
		addr, err := netlink.ParseAddr(network)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		err = errors.Join(netlink.AddrAdd(up, addr), netlink.RouteAdd(&netlink.Route{LinkIndex: up.Index, Gw: net.ParseIP(router)}))
		if err != nil {
			return err
		}
	}
	return nil
}

// TestWaysFollowTheNodes has nodes come, move and go, and looks at what the kernel has been told.
func TestWaysFollowTheNodes(t *testing.T) {
	inNewNetwork(t, func() {
		own := prefixes("10.9.1.1/24", "fd09:1::1/64")
		cfg := Config{InstanceID: "0123abcd", CIDR: netip.MustParsePrefix("10.42.1.0/24"), Overlay: OverlayVXLAN, Networks: own}
		near := Peer{Name: "near", CIDR: netip.MustParsePrefix("10.42.2.0/24"), Networks: prefixes("10.9.1.2/24"), MTU: 1300}
		six := Peer{Name: "six", CIDR: netip.MustParsePrefix("10.42.3.0/24"), Networks: prefixes("fd09:1::2/64"), MTU: 8000}
		far := Peer{Name: "far", CIDR: netip.MustParsePrefix("10.42.4.0/24"), Networks: prefixes("10.9.2.2/24")}
		far6 := Peer{Name: "far6", CIDR: netip.MustParsePrefix("10.42.5.0/24"), Networks: prefixes("fd09:2::2/64")}
		moved := far
		moved.Networks = prefixes("10.9.7.7/24", "fd09:7::7/64")

		n := open(t, cfg)
		if n.mtu != 1400-vxlanOverhead {
			t.Errorf("the pods' MTU is %d, want what fits into the overlay on a link with 1400", n.mtu)
		}
		for _, step := range []struct {
			what    string
			peers   []Peer
			routes  map[string]string // pod CIDR: interface, and the way if it is not the overlay's
			devices []string
			sources int // addresses whose packets the overlay takes
		}{
			{"alone", nil, nil, nil, 0},
			{"on the link", []Peer{near, six}, map[string]string{"10.42.2.0/24": "up0 10.9.1.2 1300", "10.42.3.0/24": "up0 fd09:1::2"}, nil, 0},
			{"behind a router", []Peer{near, far, far6}, map[string]string{"10.42.2.0/24": "up0 10.9.1.2 1300", "10.42.4.0/24": "cv4-0123abcd 10.9.2.2", "10.42.5.0/24": "cv6-0123abcd fd09:2::2"}, []string{"cv4-0123abcd", "cv6-0123abcd"}, 2},
			{"one has moved, one is gone", []Peer{moved}, map[string]string{"10.42.4.0/24": "cv4-0123abcd 10.9.7.7"}, []string{"cv4-0123abcd"}, 2},
			{"alone again", nil, nil, nil, 0},
		} {
			for _, n := range []*Network{n, open(t, cfg)} { // covey starts again
				if err := n.Route(own, step.peers); err != nil {
					t.Errorf("%s: %v", step.what, err)
				}
				if got := ways(t); !equal(got, step.routes) {
					t.Errorf("%s: routes %v, want %v", step.what, got, step.routes)
				}
				if got := overlays(t); !slices.Equal(got, step.devices) {
					t.Errorf("%s: overlay devices %v, want %v", step.what, got, step.devices)
				}
				if got := guarded(t, n.table); got != step.sources {
					t.Errorf("%s: the overlay takes packets from %d addresses, want %d", step.what, got, step.sources)
				}
			}
		}

		if err := n.Route(own, []Peer{far}); err != nil {
			t.Error(err)
		}
		if err := Teardown(cfg.InstanceID); err != nil {
			t.Error(err)
		}
		if got := overlays(t); len(got) > 0 || guarded(t, n.table) > 0 {
			t.Errorf("after the node was removed: %v", got)
		}
		cfg.Overlay = OverlayNone
		n = open(t, cfg)
		if err := n.Route(own, []Peer{far, near}); !errors.Is(err, ErrNoOverlay) {
			t.Errorf("without an overlay, a node behind a router: %v", err)
		}
		if got := ways(t); len(got) != 1 || n.mtu != 1400 {
			t.Errorf("without an overlay: routes %v, MTU %d", got, n.mtu)
		}
		if err := Teardown(cfg.InstanceID); err != nil {
			t.Error(err)
		}
	})
}

func open(t *testing.T, cfg Config) *Network {
	t.Helper()
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key := range a {
		if a[key] != b[key] {
			return false
		}
	}
	return true
}

// ways are covey's routes by pod CIDR: the interface, the address that packets are sent to, the MTU if there is one.
func ways(t *testing.T) map[string]string {
	t.Helper()
	routes, err := ownRoutes()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, r := range routes {
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			t.Fatal(err)
		}
		to := r.Gw
		if via, ok := r.Via.(*netlink.Via); ok {
			to = via.Addr
		}
		if link.Type() == "vxlan" {
			to = farEnd(t, link, to)
		}
		way := link.Attrs().Name + " " + to.String()
		if r.MTU > 0 {
			way += " " + strconv.Itoa(r.MTU)
		}
		found[r.Dst.String()] = way
	}
	return found
}

// farEnd follows a neighbour on an overlay device to the address that its packets are sent to.
func farEnd(t *testing.T, link netlink.Link, gw net.IP) net.IP {
	t.Helper()
	neighbours, err := netlink.NeighList(link.Attrs().Index, unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := netlink.NeighList(link.Attrs().Index, unix.AF_BRIDGE)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range neighbours {
		for _, e := range entries {
			if n.IP.Equal(gw) && n.HardwareAddr.String() == e.HardwareAddr.String() {
				return e.IP
			}
		}
	}
	t.Errorf("nothing is known of %s on %s: %v, %v", gw, link.Attrs().Name, neighbours, entries)
	return nil
}

func overlays(t *testing.T) []string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if link.Type() == "vxlan" {
			found = append(found, link.Attrs().Name)
		}
	}
	slices.Sort(found)
	return found
}

// guarded counts the addresses that the overlay takes packets from.
func guarded(t *testing.T, table string) int {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	sets, err := c.GetSets(&nftables.Table{Name: guardTable(table), Family: nftables.TableFamilyINet})
	if err != nil {
		return 0 // there is no such table
	}
	for _, set := range sets {
		elements, err := c.GetSetElements(set)
		if err != nil {
			t.Fatal(err)
		}
		count += len(elements)
	}
	return count
}
