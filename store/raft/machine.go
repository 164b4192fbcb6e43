package raft

import (
	"fmt"
	"io"

	hraft "github.com/hashicorp/raft"
)

// Entry is one committed entry of the log.
type Entry struct {
	Index uint64
	Data  []byte
}

// Machine is what the log is applied to. Apply, Snapshot and Restore are called by one goroutine.
type Machine interface {
	// Check says whether bytes read back from the disk are a whole entry that this version understands. Its error wraps
	// boltfile.ErrDamaged where no version does.
	Check(data []byte) error
	// Apply applies entries in the log's order and returns one answer for each; an answer is not a failure of the log.
	// Entries that the machine already had at the start may come again.
	Apply(entries []Entry) []error
	// Snapshot captures the state; the returned function writes it later, while Apply goes on.
	Snapshot() func(io.Writer) error
	// Restore replaces the state with one that Snapshot wrote.
	Restore(io.Reader) error
	// Objects is about how many there are in the state.
	Objects() int
	// Empty is an entry that changes nothing.
	Empty() []byte
	// Revision is the index of the last entry whose effects the machine has on its own disk.
	Revision() uint64
	// SnapshotRevision reads from the beginning of what Snapshot wrote what Revision was then.
	SnapshotRevision(io.Reader) (uint64, error)
}

// fsm fits a Machine to hashicorp/raft.
type fsm struct {
	machine   Machine
	tracker   *tracker
	committed func(index, term uint64) // called with the last entry that was applied
	persisted func()                   // called after each snapshot
}

var _ hraft.BatchingFSM = fsm{}

func (f fsm) Apply(l *hraft.Log) any { return f.ApplyBatch([]*hraft.Log{l})[0] }

func (f fsm) ApplyBatch(logs []*hraft.Log) []any {
	entries := make([]Entry, 0, len(logs))
	for _, l := range logs {
		if counts(l) {
			entries = append(entries, Entry{Index: l.Index, Data: l.Data})
		}
	}
	answers := f.machine.Apply(entries)
	responses := make([]any, len(logs))
	for i, l := range logs {
		var answer error
		switch {
		case counts(l):
			answer, answers = answers[0], answers[1:]
		case l.Type == hraft.LogCommand:
			answer = ErrNotLeader
		}
		if answer != nil {
			responses[i] = answer
		}
		f.tracker.follow(l.Index, l.Term, l.Extensions, answer)
	}
	last := logs[len(logs)-1]
	f.committed(last.Index, last.Term)
	return responses
}

// counts says that an entry is for the machine.
func counts(l *hraft.Log) bool { return l.Type == hraft.LogCommand && !late(l.Extensions, l.Term) }

func (f fsm) Snapshot() (hraft.FSMSnapshot, error) {
	return fsmSnapshot{write: f.machine.Snapshot(), persisted: f.persisted}, nil
}

func (f fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	f.tracker.jump() // what is proposed from now on comes behind the snapshot
	return f.machine.Restore(r)
}

type fsmSnapshot struct {
	write     func(io.Writer) error
	persisted func()
}

func (s fsmSnapshot) Persist(sink hraft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		_ = sink.Cancel()
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := sink.Close(); err != nil {
		return err
	}
	s.persisted()
	return nil
}

func (fsmSnapshot) Release() {}
