package agent

import (
	"context"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/network"
)

// What a node says of itself to the others, in annotations of its Node object, so that they find the way to its pods.
const (
	networksAnnotation = "covey.dev/networks" // its addresses, each with the size of its network: 192.0.2.7/24,2001:db8::7/64
	podMTUAnnotation   = "covey.dev/pod-mtu"  // the largest packet that its pods take, in bytes
	overlayAnnotation  = "covey.dev/overlay"  // the way to nodes that share no link: vxlan, none, or wireguard and its public key
)

// routing is what the ways to the other nodes' pods were made from.
type routing struct {
	mu    sync.Mutex
	peers []network.Peer
	moved chan struct{} // holds one: the machine's addresses or links are others
}

// Moved says that the machine's addresses or links have changed.
func (a *Agent) Moved() { offer(a.routing.moved) }

// followMachine has the ways to other nodes, the Node object and the pods follow the machine's addresses until ctx ends.
func (a *Agent) followMachine(ctx context.Context) error {
	for {
		select {
		case <-a.routing.moved:
		case <-ctx.Done():
			return nil
		}
		a.routing.mu.Lock()
		a.route()
		a.routing.mu.Unlock()
		if _, err := a.register(ctx, a.cidr); err != nil {
			return nil // ctx has ended
		}
		a.nudgeAll()
	}
}

// routeTo makes the pods of the other nodes reachable.
func (a *Agent) routeTo(nodes []*corev1.Node) {
	var peers []network.Peer
	for _, node := range nodes {
		if peer, ok := peerOf(node); ok && node.Name != a.NodeName {
			peers = append(peers, peer)
		}
	}
	a.routing.mu.Lock()
	defer a.routing.mu.Unlock()
	if !reflect.DeepEqual(peers, a.routing.peers) { // a Node object changes for many reasons
		a.routing.peers = peers
		a.route()
	}
}

// route is called with the mutex held.
func (a *Agent) route() {
	if err := a.network.Route(a.Addresses(), a.routing.peers); err != nil {
		a.Logger.Error("not all other nodes' pods can be reached from here", "error", err)
	}
}

func peerOf(node *corev1.Node) (network.Peer, bool) {
	cidr, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err != nil {
		return network.Peer{}, false
	}
	mtu, _ := strconv.Atoi(node.Annotations[podMTUAnnotation])
	peer := network.Peer{Name: node.Name, CIDR: cidr, MTU: mtu}
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
