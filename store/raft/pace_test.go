package raft

import (
	"testing"

	hraft "github.com/hashicorp/raft"
)

// sized is a machine of which only the size is asked.
type sized struct {
	Machine
	objects int
}

func (s *sized) Objects() int { return s.objects }

type fakeConfig struct {
	config hraft.ReloadableConfig
	set    int
}

func (f *fakeConfig) ReloadableConfig() hraft.ReloadableConfig { return f.config }

func (f *fakeConfig) ReloadConfig(c hraft.ReloadableConfig) error {
	f.config = c
	f.set++
	return nil
}

func TestSnapshotsKeepPaceWithTheState(t *testing.T) {
	m := &sized{objects: 10}
	p := newPacer(m)
	m.objects = 9000
	p.keepUp() // before Raft runs, as while the log is replayed
	f := &fakeConfig{config: hraft.ReloadableConfig{SnapshotThreshold: threshold(10)}}
	p.start(f)
	for m.objects = 1; m.objects <= 100000; m.objects++ {
		p.keepUp()
		if least := uint64(min(max(m.objects, snapshotThreshold), snapshotThresholdMax)); f.config.SnapshotThreshold < least {
			t.Fatalf("with %d objects a snapshot is made after %d entries", m.objects, f.config.SnapshotThreshold)
		}
	}
	if f.config.SnapshotThreshold != snapshotThresholdMax || f.set > 10 {
		t.Errorf("the threshold is %d and was set %d times", f.config.SnapshotThreshold, f.set)
	}
	m.objects = 100
	p.again()
	if f.config.SnapshotThreshold != snapshotThreshold {
		t.Errorf("when most is gone the threshold is %d", f.config.SnapshotThreshold)
	}
}
