package raft

import (
	"cmp"
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// Recover makes the server whose directory it is, and which does not run, the only one of its cluster, with all that is in its log: also
// what was not acknowledged yet. The others must never be part of the cluster again with the logs that they have. The next entry comes margin
// further behind.
func Recover(cfg Config, margin uint64) (err error) {
	logger := newLogger(cfg.Logger)
	if err := removeStale(cfg.Dir); err != nil {
		return err
	}
	d, err := openDisk(cfg.Dir, cmp.Or(cfg.SegmentSize, segmentSize), logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if _, err := d.verify(cfg.Machine); err != nil {
		return err
	}
	_, transport := hraft.NewInmemTransport(hraft.ServerAddress(cfg.ID))
	alone := hraft.Configuration{Servers: []hraft.Server{{ID: hraft.ServerID(cfg.ID), Address: hraft.ServerAddress(cfg.ID)}}}
	f := fsm{machine: cfg.Machine, tracker: newTracker(), committed: func(uint64, uint64) {}, persisted: func() {}}
	if err := hraft.RecoverCluster(config(cfg, logger), f, d.log, d.stable, later{d.snapshots, margin}, transport, alone); err != nil {
		return fmt.Errorf("recover Raft: %w", err)
	}
	return nil
}

// later makes snapshots whose index is later than that of their state.
type later struct {
	hraft.SnapshotStore
	margin uint64
}

// Create implements hraft.SnapshotStore.
func (l later) Create(version hraft.SnapshotVersion, index, term uint64, configuration hraft.Configuration, configurationIndex uint64, trans hraft.Transport) (hraft.SnapshotSink, error) {
	return l.SnapshotStore.Create(version, index+l.margin, term, configuration, configurationIndex, trans)
}
