// Package audit writes who asked the API for what, when and with what answer, as Kubernetes does: one Event of
// audit.k8s.io/v1 a line.
//
// What comes in: the stages of requests, from package api. A Policy says how much of each is kept. What goes out: lines of
// JSON to a file that is rotated by its size, or to the standard output. No request waits for that: what the disk does not
// take, or not fast enough, is dropped, and how much that was is said in the program's own log. Package node opens the Log
// and runs it.
package audit
