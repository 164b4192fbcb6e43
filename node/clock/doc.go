// Package clock tells the time by which certificates and tokens are judged, on machines whose own clock may be wrong: one without a
// battery begins in 1970, and one that was set badly may be years ahead. And it tells the time that objects and events carry, so that they can be
// compared with those of other nodes.
//
// What comes in: the machine's clock, what the other nodes' clocks say (Observe), and a file that remembers the latest time that was
// seen. What goes out: Now, to judge by, Latest, to issue by, and Stamp, to write down. Package node makes it; the gossip and the grant of a join feed it.
package clock
