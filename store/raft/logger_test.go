package raft

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestWhatIsNormalIsNoWarning: of what Raft says all the time while a node is cut off, or whenever one joins, nothing is written.
func TestWhatIsNormalIsNoWarning(t *testing.T) {
	var said bytes.Buffer
	log := newLogger(slog.New(slog.NewTextHandler(&said, nil)))
	log.Warn("Election timeout reached, restarting election")
	log.Warn("failed to get previous log", "previous-index", 19, "last-index", 0)
	log.Warn("appendEntries rejected, sending older logs", "next", 1)
	log.Warn("heartbeat timeout reached, starting election")
	log.Error("failed to appendEntries to", "peer", "a")
	if said.Len() > 0 {
		t.Errorf("it says\n%s", said.String())
	}
	log.Warn("something else")
	if !strings.Contains(said.String(), "something else") {
		t.Errorf("a warning is lost: %q", said.String())
	}
}
