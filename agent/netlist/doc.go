// Package netlist lists the interfaces, addresses, routes and neighbours of a network namespace: the one that the thread is in.
//
// The kernel hands out a long list in parts, and says so when something changed in between: what is missing then, or there twice, nobody
// can tell. Such a list is asked for again. Packages agent/network and node/address call it.
package netlist
