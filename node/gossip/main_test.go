package gossip

import (
	"os"
	"testing"

	"covey.dev/covey/agent/network/networktest"
)

// TestMain has the tests' fixed ports be theirs alone.
func TestMain(m *testing.M) { os.Exit(networktest.Run(m)) }
