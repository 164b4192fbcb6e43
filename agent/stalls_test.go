package agent

import (
	"context"
	"os"
	"testing"
)

// TestWaitingForStallsEndsWithItsContext sets a trigger in the kernel and takes it back.
func TestWaitingForStallsEndsWithItsContext(t *testing.T) {
	f, err := os.OpenFile("/proc/pressure/memory", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this kernel does not tell of memory pressure: ", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- waitForStalls(ctx, func() {}) }()
	select {
	case err := <-ended:
		t.Fatalf("it ended by itself: %v", err)
	default:
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
