package containerd

import (
	"errors"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
)

// shims are the processes of the machine's shims.
func (m *testMachine) shims() []int { return running(m.config(nil).Bin) }

// TestAShimIsThereBeforeItsContainerStarts, and is the one that the container then has.
func TestAShimIsThereBeforeItsContainerStarts(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	if err := r.Create(t.Context(), m.spec("one", "sleep")); err != nil {
		t.Fatal(err)
	}
	early := m.shims()
	if len(early) != 1 {
		t.Fatalf("the shims are %v, want one", early)
	}
	if err := r.Start(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if shim := shimOf(t, find(t, r, "one").Pid); shim != early[0] {
		t.Errorf("the container has shim %d, want %d", shim, early[0])
	}
	m.close(t) // which lets go of shims without a container, and of no other
	r = m.open(t)
	if c := find(t, r, "one"); c.State != agent.StateRunning {
		t.Errorf("after another start of covey: %+v", c)
	}
	remove(t, r, "one")
	m.nothingLeft(t)
}

// TestShimsWithoutAContainerEnd when the container is removed before it starts, cannot be made, or covey ends or is killed.
func TestShimsWithoutAContainerEnd(t *testing.T) {
	needRoot(t)
	for name, end := range map[string]func(*testing.T, *testMachine){
		"removed": func(t *testing.T, m *testMachine) {
			r := m.openLoaded(t)
			if err := errors.Join(r.Create(t.Context(), m.spec("one", "sleep")), r.Remove(t.Context(), "one")); err != nil {
				t.Error(err)
			}
		},
		"not made": func(t *testing.T, m *testMachine) {
			spec := m.spec("one", "sleep")
			spec.Security.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost}
			if err := m.openLoaded(t).Create(t.Context(), spec); !errors.Is(err, agent.ErrInvalidSpec) {
				t.Errorf("a profile without a name: %v", err)
			}
		},
		"stopped": func(t *testing.T, m *testMachine) {
			if err := m.openLoaded(t).Create(t.Context(), m.spec("one", "sleep")); err != nil {
				t.Error(err)
			}
			m.close(t)
		},
		"killed": func(t *testing.T, m *testMachine) {
			m.runKilled(t, "COVEY_TEST_ONLY_MAKE=1")
			eventually(t, "all shims have ended", func() bool { return len(m.shims()) == 0 })
			m.open(t) // which takes away the socket of one that was about to begin
			m.close(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			end(t, m)
			m.nothingLeft(t)
		})
	}
}

// nothingLeft waits for no shim and no socket of one to be there.
func (m *testMachine) nothingLeft(t *testing.T) {
	t.Helper()
	eventually(t, "all shims have ended", func() bool { return len(m.shims()) == 0 })
	sockets, err := os.ReadDir(shimSocketDir(m.config(nil).State))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if len(sockets) > 0 {
		t.Errorf("sockets are left: %v", sockets)
	}
}
