// Package forward lets clients speak with a server through a worker, end to end: the worker passes the bytes of their TLS
// connections on, inside a connection of its own with the server, and tells which addresses they came from and to. So the server
// sees the client's own certificate, and shows one that is good for the address that the client asked for.
//
// What comes in: connections whose protocol a worker does not serve (package port), and connections between nodes (package link).
// What goes out on the server: connections as if its own port had accepted them. Package node calls it.
package forward
