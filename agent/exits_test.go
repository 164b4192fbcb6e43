package agent

import (
	"context"
	"testing"
)

// listed is a runtime that only lists.
type listed struct {
	Runtime
	containers []Container
}

func (l listed) List(context.Context) ([]Container, error) { return l.containers, nil }

// TestAnEndThatNobodyHeardOfIsTold has containers waited for before the runtime is listened to.
func TestAnEndThatNobodyHeardOfIsTold(t *testing.T) {
	e := newExits()
	ended, endedCancel := e.register("ended")
	defer endedCancel()
	running, runningCancel := e.register("running")
	defer runningCancel()
	a := &Agent{exits: e, runtime: listed{containers: []Container{{ID: "ended", State: StateExited}, {ID: "running", State: StateRunning}}}}
	a.exited(t.Context(), "")
	select {
	case <-ended:
	default:
		t.Error("the end was not told")
	}
	select {
	case <-running:
		t.Error("the container that runs was said to have ended")
	default:
	}
}
