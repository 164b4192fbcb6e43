package harness

import (
	"errors"
	"os/exec"
	"time"
)

// Ends waits until covey ends by itself and returns its exit status. The cluster's clean-up does not start it again.
func (n *Node) Ends() int {
	n.t.Helper()
	n.mu.Lock()
	exited := n.exited
	n.process, n.ended = nil, true
	n.mu.Unlock()
	select {
	case err := <-exited:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		if err != nil {
			n.t.Fatalf("covey ends: %v", err)
		}
		return 0
	case <-time.After(patience):
		n.t.Fatalf("covey has not ended after %v\n%s", patience, n.logTail())
		return -1
	}
}
