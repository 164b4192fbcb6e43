package raft

import (
	"fmt"

	hraft "github.com/hashicorp/raft"
)

func (n *Node) bootstrap(cfg Config, conf *hraft.Config, transport hraft.Transport) error {
	empty, err := n.disk.empty()
	if err != nil || !empty {
		return err
	}
	// A first start that was cut off between the term and the first entry has left a term behind.
	if err := n.disk.stable.SetUint64([]byte("CurrentTerm"), 0); err != nil {
		return fmt.Errorf("bootstrap Raft: %w", err)
	}
	voters := hraft.Configuration{Servers: []hraft.Server{{ID: conf.LocalID, Address: transport.LocalAddr()}}}
	if cfg.After > 0 {
		return n.beginAfter(cfg, voters, transport)
	}
	if err := hraft.BootstrapCluster(conf, n.disk.log, n.disk.stable, n.disk.snapshots, transport, voters); err != nil {
		return fmt.Errorf("bootstrap Raft: %w", err)
	}
	return nil
}

// beginAfter begins the cluster with a snapshot of the empty state, so that the first entry comes behind its index.
func (n *Node) beginAfter(cfg Config, voters hraft.Configuration, transport hraft.Transport) error {
	const firstTerm = 1
	sink, err := n.disk.snapshots.Create(hraft.SnapshotVersionMax, cfg.After, firstTerm, voters, cfg.After, transport)
	if err != nil {
		return fmt.Errorf("bootstrap Raft: %w", err)
	}
	if err := (fsmSnapshot{write: cfg.Machine.Snapshot(), persisted: func() {}}).Persist(sink); err != nil {
		return fmt.Errorf("bootstrap Raft: %w", err)
	}
	if err := n.disk.stable.SetUint64([]byte("CurrentTerm"), firstTerm); err != nil {
		return fmt.Errorf("bootstrap Raft: %w", err)
	}
	return nil
}

// checkMember refuses a directory that belongs to another server, which would wait for a leader for ever.
func (n *Node) checkMember(cfg Config) error {
	servers := n.servers()
	if len(servers) == 1 && string(servers[0].ID) != n.id {
		return fmt.Errorf("%s belongs to node %q, not to %q", cfg.Dir, servers[0].ID, n.id)
	}
	return nil
}

// nudge makes a server that is the only voter stand for election at once: a shorter heartbeat timeout ends the wait for
// a leader to be heard of.
func (n *Node) nudge(cfg Config) error {
	if !n.onlyVoter() {
		return nil
	}
	if err := n.pacer.change(n.raft, timeout(cfg.heartbeat())); err != nil {
		return fmt.Errorf("configure Raft: %w", err)
	}
	return nil
}
