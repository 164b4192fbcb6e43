package agent

import (
	"context"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/network"
)

// What a node says of itself to the others, in annotations of its Node object, so that they find the way to its pods.
const (
	networksAnnotation = "covey.dev/networks" // its addresses, each with the size of its network: 192.0.2.7/24,2001:db8::7/64
	podMTUAnnotation   = "covey.dev/pod-mtu"  // the largest packet that its pods take, in bytes
	overlayAnnotation  = "covey.dev/overlay"  // the way to nodes that share no link: vxlan, none, or wireguard and its public key
)

// routeRetry is how long after a failure the ways to other nodes are set again.
const routeRetry = 10 * time.Second

// routing is what the ways to the other nodes' pods are made from.
type routing struct {
	mu      sync.Mutex
	peers   []network.Peer
	changed chan struct{} // holds one: there are other peers, or the machine's addresses or links are others
	moved   chan struct{} // holds one: only the latter
}

func newRouting() routing {
	return routing{changed: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
}

// Moved says that the machine's addresses or links have changed.
func (a *Agent) Moved() {
	offer(a.routing.changed)
	offer(a.routing.moved)
}

// routeTo makes the pods of the other nodes reachable.
func (a *Agent) routeTo(nodes []*corev1.Node) {
	peers := make([]network.Peer, 0, len(nodes))
	for _, node := range nodes {
		if peer, ok := peerOf(node); ok && node.Name != a.NodeName {
			peers = append(peers, peer)
		}
	}
	r := &a.routing
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers == nil || !reflect.DeepEqual(peers, r.peers) { // a Node object changes for many reasons
		r.peers = peers
		offer(r.changed)
	}
}

func (r *routing) others() []network.Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers
}

// keepRoutes has the ways to other nodes follow the nodes and the machine until ctx ends. Those of an earlier run stay until
// it is known which nodes there are.
func (a *Agent) keepRoutes(ctx context.Context) error {
	var again <-chan time.Time
	for said := ""; ; {
		select {
		case <-a.routing.changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
		again = nil
		peers := a.routing.others()
		if peers == nil {
			continue
		}
		if err := a.network.Route(a.Addresses(), peers); err != nil {
			again = time.After(routeRetry)
			if text := err.Error(); text != said { // once, and not every time
				said = text
				a.Logger.Error("not all other nodes' pods can be reached from here", "error", err)
			}
		} else {
			said = ""
		}
	}
}

// followMachine has the Node object and the pods follow the machine's addresses until ctx ends.
func (a *Agent) followMachine(ctx context.Context) error {
	for {
		select {
		case <-a.routing.moved:
		case <-ctx.Done():
			return nil
		}
		if _, err := a.register(ctx, a.cidr); err != nil {
			return nil // ctx has ended
		}
		a.nudgeAll()
	}
}

func peerOf(node *corev1.Node) (network.Peer, bool) {
	cidr, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err != nil {
		return network.Peer{}, false
	}
	mtu, _ := strconv.Atoi(node.Annotations[podMTUAnnotation])
	peer := network.Peer{Name: node.Name, CIDR: cidr, MTU: mtu, Boot: node.Status.NodeInfo.BootID}
	if key, ok := strings.CutPrefix(node.Annotations[overlayAnnotation], network.OverlayWireGuard+" "); ok {
		peer.Key = key
	}
	for _, text := range strings.Split(node.Annotations[networksAnnotation], ",") {
		if n, err := netip.ParsePrefix(text); err == nil {
			peer.Networks = append(peer.Networks, n)
		}
	}
	return peer, len(peer.Networks) > 0
}

// annotations are those of the configuration, and what other nodes have to know for the way to this one's pods.
func (a *Agent) annotations() map[string]string {
	networks := make([]string, 0, 1)
	for _, n := range a.Addresses() {
		networks = append(networks, n.String())
	}
	overlay := a.Overlay
	if overlay == network.OverlayWireGuard {
		overlay += " " + a.key.Public()
	}
	all := map[string]string{
		overlayAnnotation:  overlay,
		networksAnnotation: strings.Join(networks, ","),
		podMTUAnnotation:   strconv.Itoa(network.PodMTU(a.Overlay, a.Addresses())),
	}
	for key, value := range a.Annotations {
		all[key] = value
	}
	return all
}

// nodeAddresses are those of the Node object.
func (a *Agent) nodeAddresses(hostName string) []corev1.NodeAddress {
	var list []corev1.NodeAddress
	for _, n := range a.Addresses() {
		list = append(list, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: n.Addr().String()})
	}
	return append(list, corev1.NodeAddress{Type: corev1.NodeHostName, Address: hostName})
}
