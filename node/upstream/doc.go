// Package upstream is agent.Upstream on a server: it reads the pods bound to a node from the store and writes their
// statuses, the Node object and events back to it.
//
// What comes in: what the agent saw. What goes out: transactions, as few as will do (a status that did not change is not
// written, events are counted up on one object). Package node hands it to the agent.
package upstream
