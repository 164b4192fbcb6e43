// Package logs writes and reads what containers print, in the CRI format that Kubernetes nodes keep under
// /var/log/pods:
//
//	2006-01-02T15:04:05.999999999Z stdout F a whole line
//	2006-01-02T15:04:05.999999999Z stderr P a piece of a line longer than 16 KiB
//
// What comes in: a container's output streams (Writer, used by covey's containerd shim and by the fake runtime). What
// goes out: the lines that were asked for (Read, used by the agent for `kubectl logs`). Files are rotated: NAME is
// written to, NAME.1 is the one before it, and so on.
package logs
