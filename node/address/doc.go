// Package address finds out at which addresses of this machine others can reach the node, and notices when they change.
//
// What comes in: what the node was told, and the kernel's interfaces and addresses, with a notice of each change. What goes out:
// a list, the best first. Package node hands it to the gossip, which tells the other nodes, and to the agent.
package address
