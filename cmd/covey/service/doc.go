// Package service hands covey to the machine's init system, systemd or OpenRC: its unit, its start at boot, its end. It also
// tells systemd when a node is ready and that it is alive.
//
// What comes in: where the program is. What goes out: a file of the init system, and its commands run. The commands install
// and uninstall call it, and start for what systemd is told.
package service
