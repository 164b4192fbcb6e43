// Package harness runs the real covey for the end-to-end tests: each node in directories and a network namespace of its
// own, driven by the real kubectl, covey's own command line and client-go.
//
// What comes in: a test or a measurement, and the programs and images that make builds into bin. What goes out: a Node that the test starts,
// kills and asks. When the test ends the node's workload is deleted through the API, the node is stopped, and the test
// fails if anything is left of it: a process, a mount, an interface, a cgroup, a socket.
package harness
