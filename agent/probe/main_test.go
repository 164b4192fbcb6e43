package probe

import (
	"os"
	"testing"

	"covey.dev/covey/agent/network/networktest"
)

// TestMain has no other package's test take a port that one of these has given up.
func TestMain(m *testing.M) { os.Exit(networktest.Run(m)) }
