package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// wireguardOverhead is what WireGuard adds to a packet: its own header and tag, UDP, and IPv6.
const wireguardOverhead = 32 + 8 + 40

// Key is a node's WireGuard key pair.
type Key struct{ private wgtypes.Key }

// Public is the half that the other nodes are told, in base64.
func (k Key) Public() string { return k.private.PublicKey().String() }

// LoadKey reads the key in a file, and makes one where there is none.
func LoadKey(file string) (Key, error) {
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		private, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			return Key{}, fmt.Errorf("make a WireGuard key: %w", err)
		}
		if err := os.WriteFile(file, private[:], 0o600); err != nil {
			return Key{}, fmt.Errorf("write the WireGuard key: %w", err)
		}
		return Key{private}, nil
	case err != nil:
		return Key{}, fmt.Errorf("read the WireGuard key: %w", err)
	}
	private, err := wgtypes.NewKey(data)
	if err != nil {
		return Key{}, fmt.Errorf("the WireGuard key in %s is damaged: remove it, and another is made: %w", file, err)
	}
	return Key{private}, nil
}

// wireguard is a WireGuard device, the kernel's or one in this process.
type wireguard interface {
	// configure sets what cfg names and leaves the rest.
	configure(cfg wgtypes.Config) error
	// close ends what this process does for it. The kernel's stays, as do the pods.
	close()
}

func wireguardName(instanceID string) string { return "cvw-" + instanceID }

var errPlain = errors.New("it was started without --overlay wireguard, and what it sends would not be encrypted: start all nodes with it, or none")

var errEncrypts = errors.New("it was started with --overlay wireguard: start all nodes with it, or none")

// encrypted sends to all these nodes through WireGuard, also on a shared link, and returns the routes.
func (n *Network) encrypted(peers []Peer) ([]*netlink.Route, error) {
	name := wireguardName(n.cfg.InstanceID)
	if len(peers) == 0 {
		n.closeWireGuard()
		return nil, deleteLink(name)
	}
	link, err := n.ensureWireGuard(name)
	if err != nil {
		return nil, fmt.Errorf("overlay device %s: %w", name, err)
	}
	var routes []*netlink.Route
	var errs []error
	var all []nodePeer
	for _, p := range peers {
		peer, err := n.wireguardPeer(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("pods of node %s: %w", p.Name, err))
			continue
		}
		all = append(all, nodePeer{peer, p.Boot})
		r := n.route(p)
		r.LinkIndex, r.Scope = link.Attrs().Index, unix.RT_SCOPE_LINK
		routes = append(routes, r)
	}
	cfg, known := n.known.change(all)
	if err := n.wg.configure(cfg); err != nil {
		return nil, errors.Join(append(errs, fmt.Errorf("tell %s the nodes: %w", name, err))...)
	}
	n.known = known
	return routes, errors.Join(errs...)
}

// nodePeer is a node as WireGuard knows it, in one of its boots.
type nodePeer struct {
	wgtypes.PeerConfig
	boot string
}

// peerBoots are the boots of the nodes that WireGuard has been told.
type peerBoots map[wgtypes.Key]string

// change is what WireGuard has to be told to know exactly these nodes. One that has booted is made anew: of the one before it
// knows the time of the last handshake, and would take none that is earlier by the clock of the node, which may be back in 1970.
func (told peerBoots) change(peers []nodePeer) (wgtypes.Config, peerBoots) {
	cfg, now := wgtypes.Config{}, peerBoots{}
	for _, p := range peers {
		now[p.PublicKey] = p.boot
	}
	for key, boot := range told {
		if next, ok := now[key]; !ok || next != boot {
			cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: key, Remove: true})
		}
	}
	for _, p := range peers {
		cfg.Peers = append(cfg.Peers, p.PeerConfig)
	}
	return cfg, now
}

func (n *Network) wireguardPeer(p Peer) (wgtypes.PeerConfig, error) {
	if p.Key == "" {
		return wgtypes.PeerConfig{}, errPlain
	}
	key, err := wgtypes.ParseKey(p.Key)
	if err != nil {
		return wgtypes.PeerConfig{}, fmt.Errorf("its WireGuard key %q: %w", p.Key, err)
	}
	t, err := n.tunnelTo(p)
	if err != nil {
		return wgtypes.PeerConfig{}, err
	}
	return wgtypes.PeerConfig{
		PublicKey: key, Endpoint: net.UDPAddrFromAddrPort(netip.AddrPortFrom(t.to, OverlayPort)),
		ReplaceAllowedIPs: true, AllowedIPs: []net.IPNet{*ipNet(p.CIDR)},
	}, nil
}

// ensureWireGuard makes the device, or takes over the kernel's of an earlier run, whose peers are told anew.
func (n *Network) ensureWireGuard(name string) (netlink.Link, error) {
	if n.wg == nil {
		if err := n.openWireGuard(name); err != nil {
			return nil, err
		}
		port := OverlayPort
		n.known = nil
		err := n.wg.configure(wgtypes.Config{PrivateKey: &n.cfg.Key.private, ListenPort: &port, ReplacePeers: true})
		if err != nil {
			n.closeWireGuard()
			return nil, fmt.Errorf("set its key: %w", err)
		}
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	return link, errors.Join(netlink.LinkSetMTU(link, n.mtu), netlink.LinkSetUp(link))
}

func (n *Network) openWireGuard(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, n.mtu
	err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP): // the kernel has none
		n.wg, err = newUserspace(name, n.mtu)
		return err
	case err != nil && !errors.Is(err, unix.EEXIST):
		return err
	}
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	n.wg = kernel{client, name}
	return nil
}

// kernel is the kernel's device of that name.
type kernel struct {
	client *wgctrl.Client
	name   string
}

func (k kernel) configure(cfg wgtypes.Config) error { return k.client.ConfigureDevice(k.name, cfg) }

func (k kernel) close() { _ = k.client.Close() }

// Close ends what this process does for the way to other nodes. What the kernel does goes on.
func (n *Network) Close() {
	n.routing.Lock()
	defer n.routing.Unlock()
	n.closeWireGuard()
}

func (n *Network) closeWireGuard() {
	if n.wg != nil {
		n.wg.close()
		n.wg = nil
	}
}
