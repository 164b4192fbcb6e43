// Package keys hands the cluster's keys to a node that has old ones, because it was off or cut off while they were changed. It proves
// that it is a node of the cluster by its own key: its certificate may have expired, or be of a CA that is no longer trusted.
//
// What comes in: connections by identity.KeyProtocol, and who the cluster knows. What goes out: identity.Keys. Package node calls
// both sides.
package keys
