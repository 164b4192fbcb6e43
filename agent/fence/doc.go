// Package fence ends pods that may run at most once in the cluster on a node that is cut off from it, so that they can be started
// elsewhere after a time that is known.
//
// What comes in: the pods that are to be guarded with their cgroups, and what the cluster, when asked, says that this node may run.
// What goes out: whether a pod may be started, and the end of those whose time has passed. A second process, the watchdog, ends them:
// it does so too when covey was killed, has been stopped (SIGSTOP) or hangs. The two share a file in the state directory, which goes
// with a reboot as the pods' processes do. Times are those of CLOCK_BOOTTIME: they go on while the machine is suspended, and setting
// the clock does not move them.
//
// Callers: agent runs the Guard, the command line Watchdog. The agent also Kills what takes the memory that is left.
package fence
