package agent_test

import (
	"os"
	"testing"

	"covey.dev/covey/agent/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Run(m)) }
