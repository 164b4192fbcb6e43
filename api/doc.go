// Package api serves the Kubernetes API over HTTP.
//
// What comes in: requests of kubectl, helm, client-go and covey's own command line. What goes out: transactions on the
// store, and objects, lists, Tables and watches read from it. What a kind is, package kind says; what a pod prints or
// runs, the node that has it answers (Nodes).
//
// A request's way: ServeHTTP (recover, log, authenticate) -> the router (routes.go) -> one verb's file. Every write goes
// through write.go: decode, default, track fields, prepare, validate, put. Package node builds the server and serves it.
package api
