// Package port is the node's one TCP port: TLS, split by the protocol the client asks for (ALPN).
//
// What comes in: an address and a TLS configuration. What goes out: one net.Listener a protocol, whose connections have
// finished their handshake. Package node makes it and hands the listeners to the parts that serve them.
package port
