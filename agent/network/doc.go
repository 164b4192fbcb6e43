// Package network gives each pod an address and a way to the other pods and to the world.
//
// What comes in: the node's pod CIDR and, for each pod, its pinned network namespace. What goes out: a bridge on the node
// with the CIDR's first address, a veth pair for each pod, a default route in it, masquerading for what leaves the cluster's
// pods, and for each other node a route to its pods: over a link that both are on, or through VXLAN or WireGuard. All by
// netlink; no program is run. The agent calls it.
package network
