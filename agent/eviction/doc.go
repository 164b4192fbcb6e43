// Package eviction decides which pods have to leave a node, and why: those that use more disk than they may, and when
// memory, disk or process IDs run out, those that others are to be spared for. The rules, the order and the words are the
// kubelet's.
//
// What comes in: pods, what they use, and what the node has left, with the time. What goes out: node conditions and which
// pod to evict, with the message that says why. It is pure; package agent measures and acts.
package eviction
