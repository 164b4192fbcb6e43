package e2e

import (
	"fmt"
	"os"
	"testing"

	"covey.dev/covey/e2e/harness"
)

func TestMain(m *testing.M) {
	if err := harness.Check(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
