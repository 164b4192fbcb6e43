// Package registry serves containerd's images over HTTP as the OCI distribution specification has it.
//
// What comes in: containerd's content and images, requests below /v2/. What goes out: to other nodes manifests and blobs, read-only
// (nodes.go). Package containerd makes it, and the agent hands its requests to it.
package registry
