// Package serve answers HTTP for a node's pods, as the kubelet does: logs, commands in containers, port forwarding.
//
// What comes in: requests that the API server has authenticated and authorised already, passed on within the process or
// over the node's port. What goes out: streams from and to containers. The agent gives it the small interface Pods.
package serve
