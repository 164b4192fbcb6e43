package raft

import (
	"cmp"
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// Recover makes the server whose directory it is, and which does not run, the only one of its cluster, with all that is in its log: also
// what was not acknowledged yet. The others must never be part of the cluster again with the logs that they have.
func Recover(cfg Config) (err error) {
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
	if err := hraft.RecoverCluster(config(cfg, logger), f, d.log, d.stable, d.snapshots, transport, alone); err != nil {
		return fmt.Errorf("recover Raft: %w", err)
	}
	return nil
}
