package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"covey.dev/covey/store"
)

func TestOverStopsTheBaseLast(t *testing.T) {
	var ended []string
	base := func(ctx context.Context) error {
		<-ctx.Done()
		ended = append(ended, "base")
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	err := over(ctx, base, func(ctx context.Context) error {
		stop()
		<-ctx.Done()
		ended = append(ended, "inner")
		return nil
	})
	if err != nil || !slices.Equal(ended, []string{"inner", "base"}) {
		t.Errorf("ended in the order %v, error %v", ended, err)
	}
}

func TestOverEndsWhenEitherFails(t *testing.T) {
	failure := errors.New("failure")
	wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
	fail := func(context.Context) error { return failure }
	if err := over(context.Background(), fail, wait); !errors.Is(err, failure) {
		t.Errorf("base failed: error %v", err)
	}
	if err := over(context.Background(), wait, fail); !errors.Is(err, failure) {
		t.Errorf("inner failed: error %v", err)
	}
}

func TestLeadRunsATermEachTimeItLeads(t *testing.T) {
	leading := make(chan bool)
	terms := make(chan string)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- lead(ctx, leading, func(ctx context.Context) error {
			terms <- "begins"
			<-ctx.Done()
			terms <- "ends"
			return nil
		})
	}()
	for range 2 {
		leading <- true
		if got := <-terms; got != "begins" {
			t.Fatalf("term %s", got)
		}
		leading <- false
		if got := <-terms; got != "ends" {
			t.Fatalf("term %s", got)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestLeadBeginsAnotherTerm after one that could not act as the leader, though nobody else came to lead, and after one in which
// the leadership was lost for a moment.
func TestLeadBeginsAnotherTerm(t *testing.T) {
	leading := make(chan bool)
	terms := make(chan (<-chan struct{}))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		first := true
		done <- lead(ctx, leading, func(ctx context.Context) error {
			terms <- ctx.Done()
			if first {
				first = false
				return fmt.Errorf("hand over: %w", store.ErrNotLeader)
			}
			<-ctx.Done()
			return nil
		})
	}()
	leading <- true
	<-terms
	second := <-terms
	leading <- true
	<-second
	third := <-terms
	leading <- false
	<-third
	leading <- true
	<-terms
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestATermThatHasDoneItsWorkIsOver until this node leads again.
func TestATermThatHasDoneItsWorkIsOver(t *testing.T) {
	leading := make(chan bool)
	terms := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- lead(context.Background(), leading, func(context.Context) error { terms <- "done"; return nil })
	}()
	for range 2 {
		leading <- true
		<-terms
		leading <- false
	}
	close(leading)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLeadReturnsTheTermsError(t *testing.T) {
	leading := make(chan bool, 1)
	leading <- true
	failure := errors.New("failure")
	if err := lead(context.Background(), leading, func(context.Context) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
}
