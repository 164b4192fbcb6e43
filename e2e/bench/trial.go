package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// trial is what the end-to-end tests' harness takes a test for.
type trial struct {
	mu       sync.Mutex
	failures []error
	cleanups []func()
}

// try runs fn, then what it wants cleaned up, and returns what failed.
func try(fn func(*trial)) error {
	t, done := &trial{}, make(chan struct{})
	go func() {
		defer close(done)
		defer t.cleanUp()
		fn(t)
	}()
	<-done
	return errors.Join(t.failures...)
}

// cleanUp goes on with the others where one ends the goroutine.
func (t *trial) cleanUp() {
	n := len(t.cleanups)
	if n == 0 {
		return
	}
	last := t.cleanups[n-1]
	t.cleanups = t.cleanups[:n-1]
	defer t.cleanUp()
	last()
}

func (t *trial) fail(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, errors.New(text))
}

// check ends the trial if err is not nil.
func (t *trial) check(err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func (t *trial) Helper()          {}
func (t *trial) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *trial) Log(...any)          {}
func (t *trial) Logf(string, ...any) {}

func (t *trial) Error(args ...any)                 { t.fail(fmt.Sprint(args...)) }
func (t *trial) Errorf(format string, args ...any) { t.fail(fmt.Sprintf(format, args...)) }

func (t *trial) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

func (t *trial) FailNow() { runtime.Goexit() }

func (t *trial) Fatal(args ...any) {
	t.Error(args...)
	t.FailNow()
}

func (t *trial) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	t.FailNow()
}

// Skipf is a failure: a figure that cannot be measured is not left out silently.
func (t *trial) Skipf(format string, args ...any) { t.Fatalf(format, args...) }
