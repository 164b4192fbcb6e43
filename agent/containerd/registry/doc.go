// Package registry serves containerd's images over HTTP as the OCI distribution specification has it.
//
// What comes in: containerd's content and images, requests below /v2/, and what the cluster says that names stand for. What goes out: to
// other nodes manifests and blobs, read-only (nodes.go); to users all of the specification (users.go), for what they push lies in a
// namespace of containerd's of its own. Package containerd makes it, and the agent hands its requests to it.
package registry
