package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	hraft "github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"

	"covey.dev/covey/store/boltfile"
	"covey.dev/covey/store/protocol"
	"covey.dev/covey/store/raft"
)

// Config says where and how a Store keeps its state.
type Config struct {
	// Dir is the store's own directory, made when it is missing: the Raft log and snapshots, state.db, and a lock.
	Dir string
	// NodeID is this server's Raft ID. It must not change for a directory.
	NodeID string
	// Transport carries Raft's messages between servers; nil keeps them within the process, for a single voter.
	Transport raft.Carrier
	// Join makes an empty directory wait to be added to a cluster that exists, instead of beginning one.
	Join bool
	// After makes the revisions of a new cluster begin behind it; 0 is from the start.
	After uint64
	// Peers reaches the server that leads, for writes and reads on another; nil where there is only one server.
	Peers Peers
	// Scheme has the types that may be stored. They are stored as protobuf, or as JSON when they have none.
	Scheme *runtime.Scheme
	// History is the greatest number of events kept for watches and old snapshots; 0 means 4096.
	History int
	// EntryLimit is the greatest size of a transaction, in bytes; 0 means 16 MiB, which is the most.
	EntryLimit int
	// Protocol is which protocol versions this server speaks; zero is protocol.Spoken.
	Protocol protocol.Range
	// Wakes is a time at which this process wakes for something else, as it does every half second after it: a leader that has
	// nothing to say sends its heartbeats then.
	Wakes time.Time
	// Logger is slog's default when it is nil.
	Logger *slog.Logger

	tuning tuning
}

// tuning is what tests set; zero values mean the defaults.
type tuning struct {
	snapshotThreshold       uint64
	segmentSize             int
	heartbeatTimeout        time.Duration
	flushQuiet, flushLatest time.Duration
	wrapLog                 func(hraft.LogStore) hraft.LogStore
}

const flushRetry = 10 * time.Second

// Store is one replica of the cluster's state.
type Store struct {
	id      string // of this server
	limit   int    // of an entry, in bytes
	codec   *codec
	table   *table
	machine *machine
	node    *raft.Node
	peers   Peers
	flusher *flusher
	file    *stateFile
	lock    *os.File
}

// Open opens the files in cfg.Dir, reads the state and starts Raft; on an empty directory the server becomes the only
// voter of a new cluster. Run must be called, if only with a cancelled context to close everything again.
//
// It fails with "another covey is using DIR" while another process has the directory open, and with an error that names the
// file when the log is damaged. A damaged state.db is set aside and made again from the log. What a newer covey has written is left as it
// is: the error is a *protocol.Mismatch then, and so may be that of Run.
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func open(cfg Config) (*Store, error) {
	s, err := openFiles(cfg)
	if err != nil {
		return nil, err
	}
	if s.node, err = raft.Open(s.raftConfig(cfg)); err != nil {
		if s.machine.broken != nil {
			err = s.machine.broken // Raft does not say why a snapshot was not restored
		}
		return nil, errors.Join(err, s.closeFiles())
	}
	return s, nil
}

// openFiles opens all but Raft's.
func openFiles(cfg Config) (_ *Store, err error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	c := newCodec(cfg.Scheme)
	if cfg.Protocol != (protocol.Range{}) {
		c.spoken = cfg.Protocol
	}
	s := &Store{id: cfg.NodeID, limit: cmp.Or(cfg.EntryLimit, maxEntry), codec: c, table: newTable(c, cfg.History), peers: cfg.Peers}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	s.lock, err = boltfile.Lock(filepath.Join(cfg.Dir, "lock"))
	if errors.Is(err, boltfile.ErrLocked) {
		return nil, fmt.Errorf("another covey is using %s", cfg.Dir)
	}
	if err != nil {
		return nil, err
	}
	return s, s.openState(cfg)
}

func (s *Store) raftConfig(cfg Config) raft.Config {
	return raft.Config{
		Dir: cfg.Dir, ID: cfg.NodeID, Transport: cfg.Transport, Join: cfg.Join, After: cfg.After, Machine: s.machine, Logger: cfg.Logger,
		SnapshotThreshold: cfg.tuning.snapshotThreshold, SegmentSize: cfg.tuning.segmentSize,
		HeartbeatTimeout: cfg.tuning.heartbeatTimeout,
		Wakes:            cfg.Wakes,
		WrapLog:          cfg.tuning.wrapLog,
	}
}

func (s *Store) openState(cfg Config) error {
	path := filepath.Join(cfg.Dir, "state.db")
	file, state, err := openStateFile(path, s.codec)
	if errors.Is(err, boltfile.ErrDamaged) {
		cfg.Logger.Error("the state file is damaged; it is set aside and made again from the log", "error", err)
		if err := os.Rename(path, path+".damaged"); err != nil {
			return err
		}
		file, state, err = openStateFile(path, s.codec)
	}
	if err != nil {
		return err
	}
	s.file = file
	s.machine = newMachine(s.codec, s.table, file, state)
	s.flusher = &flusher{
		machine: s.machine, logger: cfg.Logger, retry: flushRetry,
		quiet: cfg.tuning.flushQuiet, latest: cfg.tuning.flushLatest,
	}
	return nil
}

// Run follows leadership and writes the state behind the log until ctx ends; then it stops Raft, writes what is left,
// closes the files and returns. Only then may the directory be opened again. It returns earlier, with an error, when the
// replica cannot go on.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.node.Run(ctx) })
	g.Go(func() error { s.flusher.run(ctx); return nil })
	g.Go(func() error {
		select {
		case err := <-s.machine.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	err := g.Wait()
	// Raft has ended, so nothing is applied any more: this is the last of it, and the next start replays nothing.
	if err := s.machine.flush(); err != nil {
		s.flusher.logger.Warn("cannot write the state file; nothing is lost, the log has it", "error", err)
	}
	return errors.Join(err, s.closeFiles())
}

func (s *Store) closeFiles() error {
	var errs []error
	if s.file != nil {
		errs = append(errs, s.file.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close()) // last: whoever waits for it finds the files closed
	}
	return errors.Join(errs...)
}

// Leading receives true when this replica has become the leader and has applied all that was committed before, and
// false when it leads no longer. It has one reader. Only the newest news is kept, so a true after a true means that
// leadership was lost in between.
func (s *Store) Leading() <-chan bool { return s.node.Leading() }

// IsLeader says whether this replica leads and has applied all that was committed before it did.
func (s *Store) IsLeader() bool { return s.node.Leads() }
