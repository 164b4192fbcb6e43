// Package flow shares a number of seats among clients, so that one with many requests cannot starve the others.
//
// What comes in: a request with the name of its client. What goes out: the moment at which it may begin, or that there
// is no room to wait. A free seat goes to the waiting client that has the fewest, and among equals to the one that was
// served longest ago: so each client gets its share at once, however many requests another has in the queue, and what
// one leaves the others may use. Package api calls it for each request that is not a long-running one.
package flow
