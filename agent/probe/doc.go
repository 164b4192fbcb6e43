// Package probe asks a container whether it has started, is alive and is ready, by HTTP, TCP, gRPC or a command.
//
// What comes in: a Kubernetes probe and how to reach the container. What goes out: each change of the verdict, after the
// probe's thresholds. The agent runs one Loop for each probe of a running container.
package probe
