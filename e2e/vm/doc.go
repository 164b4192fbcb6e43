// Package vm meets covey on whole machines: a kernel with cgroup v2, systemd or OpenRC, a data disk, and power that can be cut. The
// machines are QEMU's; without hardware help they boot in a quarter of a minute all the same.
//
// A Machine is driven through a shell on a serial port; what is on it comes from bin/vm (.ci/vm-image) and bin/. Every test run has one machine
// alone, of which pods ask all that its kernel can do, one alone that OpenRC runs, and three as a cluster, whose pods talk through WireGuard
// and one of which has no clock; make vm pulls their plugs for longer.
package vm
