// Package containerd is the agent's Runtime on containerd, which runs inside the process or is the machine's own.
//
// What comes in: container specs and image archives from the agent. What goes out: containers under runc, each below a
// shim process that outlives covey; their exits; their output, which the shim (folder shim) writes to the log files
// itself. The runtime's programs are embedded (folders assets and build) and unpacked at first start. containerd's socket
// is served too, so that nerdctl and ctr see the containers. Or it is the machine's own containerd, of which others take
// care (external.go, docs/containerd.md). A damaged database of containerd's is made anew at the start (rebuild.go). An archive of images that would fill the disk is refused (space.go).
//
// cmd calls Open, hands the Runtime to the node, and has the node call its Run.
package containerd
