package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/netlist"
	"covey.dev/covey/agent/sandbox"
)

// The ways to the pods of nodes that share no link with this one.
const (
	OverlayVXLAN     = "vxlan"
	OverlayWireGuard = "wireguard" // is taken to nodes that share a link too
	OverlayNone      = "none"      // there is none
)

// Config is what a node's part of the pod network is made with.
type Config struct {
	InstanceID string         // 8 hex digits that tell its things from those of another node on the same machine
	CIDR       netip.Prefix   // of the pods
	Overlay    string         // OverlayVXLAN, OverlayWireGuard or OverlayNone
	Key        Key            // of WireGuard
	Networks   []netip.Prefix // the node's addresses, each with the size of its network
}

// Network is the node's part of the pod network.
type Network struct {
	cfg    Config
	bridge string
	table  string
	mtu    int

	mu   sync.Mutex
	pool pool

	routing sync.Mutex // held while the ways to the other nodes are set
	wg      wireguard  // nil until it is needed
	known   peerBoots
}

// Name is what the bridge of an instance is called.
func Name(instanceID string) string { return "cv-" + instanceID }

// Open makes the bridge with the first address of the CIDR and the masquerading rule, or takes over those of an earlier run.
func Open(cfg Config) (*Network, error) {
	cidr := cfg.CIDR.Masked()
	n := &Network{cfg: cfg, bridge: Name(cfg.InstanceID), table: "covey-" + cfg.InstanceID, mtu: PodMTU(cfg.Overlay, cfg.Networks), pool: newPool(cidr)}
	if err := n.ensureBridge(); err != nil {
		return nil, fmt.Errorf("set up bridge %s: %w", n.bridge, err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return nil, fmt.Errorf("turn on IP forwarding: %w", err)
	}
	if err := masquerade(n.table, n.bridge, cidr); err != nil {
		return nil, fmt.Errorf("set up masquerading in table %s: %w", n.table, err)
	}
	return n, nil
}

// Reserve keeps an address for a pod that had it in an earlier run, until it is attached or detached.
func (n *Network) Reserve(uid string, addr netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pool.usable(addr) {
		_ = n.pool.take(uid, addr) // one that another has is found out when the pod is attached
	}
}

// Claim chooses the address that the pod will be attached with, which is its own until it is detached, and returns how many come before it on the node. known is the
// address that was recorded for it, if any.
func (n *Network) Claim(uid string, known netip.Addr) (netip.Addr, uint32, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr, err := n.pool.allocate(uid, known)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	return addr, n.pool.index(addr), nil
}

// Attach gives the pod its address in the network namespace at ns: the one it has claimed, else known, which was recorded for it, if
// that is free. A pod that is attached keeps the address it has, unless another pod has that too: then this is the error, and the
// pod is attached no more, so that it has another one the next time.
func (n *Network) Attach(uid, ns string, known netip.Addr) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr, ok := addressIn(ns); ok {
		if err := n.pool.take(uid, addr); err != nil {
			return netip.Addr{}, errors.Join(fmt.Errorf("the pod needs another address: %w", err), deleteLink(vethName(uid)))
		}
		return addr, nil
	}
	addr, err := n.pool.allocate(uid, known)
	if err != nil {
		return netip.Addr{}, err
	}
	if err := n.connect(uid, ns, addr); err != nil {
		return netip.Addr{}, fmt.Errorf("attach the pod to bridge %s: %w", n.bridge, err)
	}
	return addr, nil
}

// Detach removes the pod's veth pair and its published ports, and frees its address. Detaching what is not attached is no error.
func (n *Network) Detach(uid string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := errors.Join(n.publish(uid, netip.Addr{}, nil), deleteLink(vethName(uid))); err != nil {
		return fmt.Errorf("detach the pod: %w", err)
	}
	n.pool.release(uid)
	return nil
}

// Teardown removes what an instance made: its pods' veth pairs, the bridge, tables and routes.
func Teardown(instanceID string) error {
	table := "covey-" + instanceID
	return errors.Join(
		deletePorts(Name(instanceID)), deleteLink(Name(instanceID)), deleteRoutes(),
		deleteLink(vxlanName(instanceID, unix.AF_INET)), deleteLink(vxlanName(instanceID, unix.AF_INET6)),
		deleteLink(wireguardName(instanceID)),
		dropTable(table), dropTable(portsTable(table)), dropGuard(table),
	)
}

func (n *Network) ensureBridge() error {
	link, err := netlink.LinkByName(n.bridge)
	if isMissing(err) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = n.bridge, n.mtu
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		link, err = netlink.LinkByName(n.bridge)
	}
	if err != nil {
		return err
	}
	if link.Attrs().MTU != n.mtu { // of an earlier run; pods that run keep theirs
		if err := netlink.LinkSetMTU(link, n.mtu); err != nil {
			return fmt.Errorf("set its MTU: %w", err)
		}
	}
	if err := netlink.AddrReplace(link, address(n.pool.gateway(), n.pool.cidr.Bits())); err != nil {
		return fmt.Errorf("set its address: %w", err)
	}
	return netlink.LinkSetUp(link)
}

func (n *Network) connect(uid, ns string, addr netip.Addr) (err error) {
	name := vethName(uid)
	if err := deleteLink(name); err != nil {
		return err
	}
	bridge, err := netlink.LinkByName(n.bridge)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = name, n.mtu, bridge.Attrs().Index
	f, err := os.Open(ns)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerMTU: uint32(n.mtu), PeerNamespace: netlink.NsFd(f.Fd())}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("create veth pair %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = deleteLink(name)
		}
	}()
	if err := netlink.LinkSetHairpin(veth, true); err != nil {
		return fmt.Errorf("set hairpin mode: %w", err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return err
	}
	return sandbox.Enter(ns, func() error { return configure(addr, n.pool.cidr.Bits(), n.pool.gateway()) })
}

// configure runs inside the pod's network namespace.
func configure(addr netip.Addr, bits int, gateway netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(eth0, address(addr, bits)); err != nil {
		return fmt.Errorf("set address %s: %w", addr, err)
	}
	if err := netlink.LinkSetUp(eth0); err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gateway.AsSlice()})
}

// addressIn reads the address of a pod that is attached already.
func addressIn(ns string) (addr netip.Addr, ok bool) {
	err := sandbox.Enter(ns, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		addrs, err := netlist.Addresses(eth0, netlink.FAMILY_V4)
		if err != nil || len(addrs) == 0 {
			return errors.Join(err, errors.New("no address"))
		}
		routes, err := netlist.Routes(eth0, netlink.FAMILY_V4)
		if err != nil || len(routes) < 2 {
			return errors.Join(err, errors.New("no default route"))
		}
		addr, ok = netip.AddrFromSlice(addrs[0].IP.To4())
		return nil
	})
	return addr, ok && err == nil
}

func address(addr netip.Addr, bits int) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}}
}

// vethName is the host end of a pod's veth pair; Linux allows 15 characters.
func vethName(uid string) string {
	sum := sha256.Sum256([]byte(uid))
	return "cv" + hex.EncodeToString(sum[:6])
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

// deletePorts deletes the veth pairs that are plugged into a bridge.
func deletePorts(bridge string) error {
	master, err := netlink.LinkByName(bridge)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	links, err := netlist.Links()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	var errs []error
	for _, link := range links {
		if link.Type() == "veth" && link.Attrs().MasterIndex == master.Attrs().Index {
			errs = append(errs, deleteLink(link.Attrs().Name))
		}
	}
	return errors.Join(errs...)
}

func isMissing(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}
