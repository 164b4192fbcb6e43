// Package registry is the cluster's part in the registry that users push to: who may, and what the names stand for.
//
// What comes in: the store, and what a node serves to users (agent.Registry). What goes out: agent.Repositories, kept in ConfigMaps of
// kube-system, one for each repository; and a handler that lets in administrators by their certificates and others by a login, which
// is a Secret there. Package node calls it.
package registry
