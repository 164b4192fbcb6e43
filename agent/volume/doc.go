// Package volume prepares the volumes of a pod on the node.
//
// What comes in: the pod, a directory for it, and where ConfigMaps and Secrets are read. What goes out: a path on the node
// for each volume and for each mount of a container. Files made from the API appear all at once (a link is switched).
// The agent calls it before the first container starts, and when the pod is gone.
package volume
