package main

import (
	"os"
	"testing"
)

func TestThePageIsCurrent(t *testing.T) {
	is, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil || string(is) != page() {
		t.Errorf("docs/metrics.md is not what the definitions say: run go generate ./node/metrics (%v)", err)
	}
}
