package raft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

const (
	// heartbeatTimeout without a leader makes a server stand for election, and without followers a leader step down. It holds on a
	// link with a round trip of 600 ms that loses every fifth packet, so that neither happens there: see beatInterval. That a
	// leader's process is gone is mostly known earlier: see failOver. An idle leader wakes as often as that to look at its lease.
	heartbeatTimeout = 2500 * time.Millisecond
	// enqueueTimeout bounds how long a proposal waits for Raft to take it, which is long only when the disk hangs.
	enqueueTimeout = 10 * time.Second
	// snapshotInterval and the threshold decide when the log is cut: looked at about every minute, worth it after so many
	// entries, and after twice as many as there are objects to write, up to so many that a start takes long to read them. What is
	// kept behind the snapshot spares a replica that was away for a short time the whole snapshot.
	snapshotInterval     = time.Minute
	snapshotThreshold    = 4096
	snapshotThresholdMax = 65536
	trailingEntries      = 1024
)

var (
	// ErrNotLeader is returned where only the leader can answer and another server leads.
	ErrNotLeader = errors.New("not the leader")
	// ErrUnknown is returned when leadership was lost while an entry was being written: it may or may not be applied.
	ErrUnknown = errors.New("the write may or may not have happened")
	// ErrNotWritten is wrapped when the disk of the server that leads did not take the entry, which is not in the log.
	ErrNotWritten = errors.New("the Raft log does not take writes")
	// ErrClosed is returned when Run has ended, or is about to.
	ErrClosed = errors.New("the store is closed")
)

// Config says how a Node keeps its log and what it applies it to.
type Config struct {
	Dir       string
	ID        string
	Transport Carrier // nil: within the process only
	Join      bool    // an empty directory waits to be added to a cluster that exists
	After     uint64  // the index that the log of a new cluster begins behind
	Machine   Machine
	Logger    *slog.Logger

	SnapshotThreshold uint64        // entries; 0 means the default
	SegmentSize       int           // of the log, in bytes; 0 means the default
	HeartbeatTimeout  time.Duration // 0 means the default
	// Wakes is a time at which the process wakes and every second after which it does, so that heartbeats come then.
	Wakes   time.Time
	WrapLog func(hraft.LogStore) hraft.LogStore // for tests that make the disk fail
}

// Node is one server of the Raft cluster.
type Node struct {
	id      string
	raft    *hraft.Raft
	disk    *disk
	log     watchedLog
	empty   []byte // an entry
	tracker *tracker

	pacer     *pacer
	heartbeat time.Duration // the timeout
	wakes     time.Time     // Config.Wakes
	tempo     tempo

	gate sync.RWMutex // held while a proposal is handed to Raft; closing the fence takes it whole

	transport *Transport // nil for another kind
	logger    *slog.Logger

	mu       sync.Mutex
	term     uint64        // the term that this server leads, its machine caught up; 0 while it does not
	epoch    uint64        // how often the fence was closed in it
	changed  chan struct{} // closed and replaced with every change of leadership
	caughtUp bool          // it led once, so it has all that was committed before
	closing  bool
	inFlight sync.WaitGroup
	leading  chan bool
}

// Open checks the files, makes the machine current, and starts Raft. On an empty directory the server becomes the only
// voter of a new cluster, or waits to be added to one (Config.Join). Run must be called, if only to close again.
func Open(cfg Config) (*Node, error) {
	logger := newLogger(cfg.Logger)
	if err := removeStale(cfg.Dir); err != nil {
		return nil, err
	}
	d, err := openDisk(cfg.Dir, cmp.Or(cfg.SegmentSize, segmentSize), logger)
	if err != nil {
		return nil, err
	}
	n := &Node{
		id: cfg.ID, disk: d, empty: cfg.Machine.Empty(), tracker: newTracker(), logger: cfg.Logger, heartbeat: cfg.heartbeat(), wakes: cfg.Wakes,
		changed: make(chan struct{}), leading: make(chan bool, 1),
	}
	if err := n.start(cfg, config(cfg, logger)); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return n, nil
}

func config(cfg Config, logger hclog.Logger) *hraft.Config {
	conf := hraft.DefaultConfig()
	conf.LocalID = hraft.ServerID(cfg.ID)
	conf.Logger = logger
	// A moment more than it will be: see nudge.
	conf.HeartbeatTimeout = cfg.heartbeat() + time.Millisecond
	conf.ElectionTimeout = conf.HeartbeatTimeout
	conf.LeaderLeaseTimeout = cfg.heartbeat()
	conf.SnapshotInterval = snapshotInterval
	conf.SnapshotThreshold = threshold(cfg.Machine.Objects())
	conf.TrailingLogs = trailingEntries
	if cfg.SnapshotThreshold > 0 {
		conf.SnapshotThreshold = cfg.SnapshotThreshold
		conf.TrailingLogs = min(conf.TrailingLogs, cfg.SnapshotThreshold)
	}
	conf.CommitTimeout = commitTimeout
	conf.NoLegacyTelemetry = true
	return conf
}

func (cfg Config) heartbeat() time.Duration {
	return cmp.Or(cfg.HeartbeatTimeout, heartbeatTimeout)
}

func (n *Node) start(cfg Config, conf *hraft.Config) error {
	if err := n.disk.load(cfg.Machine); err != nil {
		return err
	}
	conf.NoSnapshotRestoreOnStart = true // it is
	transport := cfg.Transport
	n.transport, _ = transport.(*Transport)
	if transport == nil {
		_, transport = hraft.NewInmemTransport(hraft.ServerAddress(cfg.ID))
	}
	if !cfg.Join {
		if err := n.bootstrap(cfg, conf, transport); err != nil {
			return err
		}
	}
	n.log.LogStore, n.log.grown = n.disk.log, func() {}
	if n.transport != nil {
		n.log.grown = n.transport.lull.stir
	}
	if cfg.WrapLog != nil {
		n.log.LogStore = cfg.WrapLog(n.disk.log)
	}
	var err error
	n.pacer = newPacer(cfg.Machine)
	n.raft, err = hraft.NewRaft(conf, n.fsm(cfg), &n.log, n.disk.stable, n.disk.snapshots, votes{transport})
	if err != nil {
		return fmt.Errorf("start Raft on %s: %w", cfg.Dir, err)
	}
	if err := n.checkMember(cfg); err != nil {
		return errors.Join(err, n.raft.Shutdown().Error())
	}
	if err := n.nudge(cfg); err != nil {
		return err
	}
	if cfg.SnapshotThreshold == 0 {
		n.pacer.start(n.raft)
	}
	return nil
}

func (n *Node) fsm(cfg Config) fsm {
	committed := func(index, term uint64) {
		n.disk.committed(index, term)
		n.pacer.keepUp()
		if n.transport != nil {
			n.transport.lull.stir() // the others are to know, too
		}
	}
	return fsm{machine: cfg.Machine, tracker: n.tracker, committed: committed, persisted: n.pacer.again}
}

// Run follows the leadership until ctx ends; then it waits for what was proposed, stops Raft and closes the files.
func (n *Node) Run(ctx context.Context) error {
	others := make(chan hraft.Observation, 1)
	observer := hraft.NewObserver(others, false, func(o *hraft.Observation) bool {
		_, is := o.Data.(hraft.LeaderObservation)
		return is
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	n.wake() // a leader may be known since Open
	var watching sync.WaitGroup
	watching.Go(func() { n.heed(ctx) })
	if n.transport != nil {
		watching.Go(func() { n.failOver(ctx, n.transport) })
		watching.Go(func() { n.keepTime(ctx) })
	}
	defer watching.Wait()
	for ctx.Err() == nil {
		select {
		case leads := <-n.raft.LeaderCh():
			if n.transport != nil {
				n.transport.lull.stir() // what is held back is of another term
			}
			n.setTerm(0)
			if leads {
				n.setTerm(n.catchUp(ctx))
			}
		case <-others:
			n.wake()
		case <-ctx.Done():
		}
	}
	return n.close()
}

// handoverPause is how long a leader that may not write because it hands over waits until it tries again.
const handoverPause = 100 * time.Millisecond

// catchUp waits until everything committed before is applied, at the price of one empty entry for each change of
// leadership, the mark of its first fence, and returns the term that is led; 0 when the leadership is lost again.
func (n *Node) catchUp(ctx context.Context) uint64 {
	for ctx.Err() == nil {
		term := n.raft.CurrentTerm()
		err := n.mark(Fence{Term: term})
		if err == nil {
			return term
		}
		// Nobody says when a handover that was begun before this term is over: hashicorp/raft may wait for it still.
		handsOver := errors.Is(err, hraft.ErrLeadershipTransferInProgress)
		if !handsOver && !errors.Is(err, hraft.ErrEnqueueTimeout) {
			break // the news that it no longer leads is on its way
		}
		if handsOver && !pause(ctx, handoverPause) {
			break
		}
	}
	return 0
}

func (n *Node) setTerm(term uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if term == n.term {
		return
	}
	n.term, n.epoch = term, 0
	n.caughtUp = n.caughtUp || term != 0
	n.broadcast()
	select {
	case <-n.leading: // not read yet, and out of date
	default:
	}
	n.leading <- term != 0
}

// wake has those who wait for a leader look again.
func (n *Node) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broadcast()
}

// broadcast is called with mu held.
func (n *Node) broadcast() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *Node) close() error {
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	n.setTerm(0)
	close(n.disk.stable.stop)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		n.inFlight.Wait()
	}()
	// Raft forgets to answer some proposals when it is shut down under them, so they are waited for first. One that waits
	// for a hanging disk is not.
	select {
	case <-finished:
	case <-time.After(enqueueTimeout):
	}
	if n.transport != nil {
		n.transport.lull.end()
	}
	err := n.raft.Shutdown().Error()
	return errors.Join(err, n.disk.close())
}

func (n *Node) servers() []hraft.Server {
	return n.raft.GetConfiguration().Configuration().Servers
}

func (n *Node) onlyVoter() bool {
	servers := n.servers()
	return len(servers) == 1 && string(servers[0].ID) == n.id && servers[0].Suffrage == hraft.Voter
}

// Compact takes a snapshot now and cuts the log behind it, as Raft does by itself when the log has grown.
func (n *Node) Compact() error {
	if err := n.raft.Snapshot().Error(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}
