// Package sweep takes away what a stopped node has on its machine: containers, shims, mounts, namespaces, interfaces, nftables
// tables, routes and cgroups.
//
// What comes in: where the node kept its files, and its instance ID. What goes out: a machine as it was before, but for the
// data directory. The agent offers it to `covey uninstall`; a node that runs removes its pods one by one instead.
package sweep
