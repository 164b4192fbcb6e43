// Package node builds the parts of a covey node and runs them.
//
// What comes in: the configuration and a container runtime, from cmd/covey. What goes out: a serving node, until the
// context ends. The parts know each other by the small interfaces that they declare themselves; this is the one place
// that knows them all.
package node
