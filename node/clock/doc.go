// Package clock tells the time by which certificates and tokens are judged, on machines whose own clock may be wrong: one without a
// battery begins in 1970, and one that was set badly may be years ahead.
//
// What comes in: the machine's clock, what the other nodes' clocks say (Observe), and a file that remembers the latest time that was
// seen. What goes out: Now, to judge by, and Latest, to issue by. Package node makes it; the gossip and the grant of a join feed it.
package clock
