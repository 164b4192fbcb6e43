// Package e2e holds covey to its word as its users meet it: the real binary with real containers, the real kubectl,
// client-go, and covey's own command line. Package harness starts and ends the nodes. Run it with make e2e.
package e2e
