// Package machine looks for what pods need of the machine that they run on: cgroups, overlayfs, network devices, nftables, a
// clock that is right, room on the disk.
//
// What comes in: the data directory and the time. What goes out: findings, each one line with its remedy. The agent hands
// them to the node, which starts only where nothing is missing, and to `covey check`.
package machine
