package raft

import (
	"sync"

	hraft "github.com/hashicorp/raft"
)

// threshold keeps the share of the snapshots in what is written below the log's.
func threshold(objects int) uint64 {
	return min(max(snapshotThreshold, 2*uint64(objects)), snapshotThresholdMax)
}

// reloadable is the part of Raft's configuration that can be changed while it runs.
type reloadable interface {
	ReloadableConfig() hraft.ReloadableConfig
	ReloadConfig(hraft.ReloadableConfig) error
}

// pacer sets how far the log grows before there is a snapshot, by the size of the state.
type pacer struct {
	machine Machine
	mu      sync.Mutex
	raft    reloadable // nil until it has been started
	objects int        // that it was last set for
}

func newPacer(m Machine) *pacer { return &pacer{machine: m, objects: m.Objects()} }

func (p *pacer) start(r reloadable) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raft = r
}

// again is called when a snapshot has been made: the state may have grown or shrunk.
func (p *pacer) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(p.machine.Objects())
}

// keepUp is called when something was applied. It does not wait for the next snapshot when the state has doubled: while many
// objects are created, one would be made for each few thousand of them.
func (p *pacer) keepUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if objects := p.machine.Objects(); objects > 2*p.objects {
		p.set(objects)
	}
}

// set is called with mu held.
func (p *pacer) set(objects int) {
	if p.raft == nil {
		return
	}
	p.objects = objects
	config := p.raft.ReloadableConfig()
	if wanted := threshold(objects); wanted != config.SnapshotThreshold {
		config.SnapshotThreshold = wanted
		_ = p.raft.ReloadConfig(config) // it was valid, and is
	}
}

// change changes another part of the configuration.
func (p *pacer) change(raft reloadable, change func(*hraft.ReloadableConfig)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	config := raft.ReloadableConfig()
	change(&config)
	return raft.ReloadConfig(config)
}
