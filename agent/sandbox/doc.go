// Package sandbox pins the namespaces that a pod's containers share: network, IPC, UTS and, where asked for, PID.
//
// What comes in: a directory of the pod and its host name. What goes out: paths to join. The namespaces are kept by bind
// mounts, so no pause container holds them and they outlive covey; only a PID namespace needs a process. The agent calls it.
package sandbox
