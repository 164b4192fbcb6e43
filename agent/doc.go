// Package agent runs the pods that are bound to one node.
//
// What comes in: the set of pods bound to this node (Upstream) and what became of their containers (Runtime). What goes
// out: containers, started, probed, restarted and removed, and the pods' statuses. It holds no cluster state and imports
// nothing of covey outside this folder, so that a worker can carry it alone.
//
// Rooms that the agent uses (probe, volume, logs, network, keyring, disk, eviction, ...) do not import this package; those that implement its
// interfaces (containerd, runtimetest) do.
package agent
