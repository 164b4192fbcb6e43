package agent

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/network"
)

// routeTo makes the pods of the other nodes reachable.
func (a *Agent) routeTo(nodes []*corev1.Node) {
	var peers []network.Peer
	for _, node := range nodes {
		cidr, err := netip.ParsePrefix(node.Spec.PodCIDR)
		addr := internalIP(node)
		if node.Name == a.NodeName || err != nil || !addr.IsValid() {
			continue
		}
		peers = append(peers, network.Peer{CIDR: cidr, Address: addr})
	}
	if err := a.network.Route(peers); err != nil {
		a.Logger.Error("not all other nodes' pods can be reached from here", "error", err)
	}
}

func internalIP(node *corev1.Node) netip.Addr {
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			if addr, err := netip.ParseAddr(a.Address); err == nil {
				return addr
			}
		}
	}
	return netip.Addr{}
}
