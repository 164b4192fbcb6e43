package raft

import (
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// replayed is how many entries the machine is handed at a time at the start.
const replayed = 256

// load checks the files and brings the machine as far as what is known to be committed.
func (d *disk) load(m Machine) error {
	current, err := d.verify(m)
	if err != nil {
		return err
	}
	if !current {
		if err := d.restore(m); err != nil {
			return err
		}
	}
	d.readNote()
	return d.replay(m)
}

// restore makes the machine's state the one of the newest snapshot.
func (d *disk) restore(m Machine) error {
	_, r, err := d.snapshots.Open(d.snapshot.ID)
	if err == nil {
		defer func() { _ = r.Close() }()
		err = m.Restore(r)
	}
	if err != nil {
		return fmt.Errorf("restore Raft snapshot %s: %w", d.snapshotPath(d.snapshot.ID), err)
	}
	return nil
}

// readNote believes what is noted of an entry if the log has it: entries of the same index and term are the same, and so is all that
// comes before them.
func (d *disk) readNote() {
	if d.commits == nil {
		return
	}
	index, term, err := d.commits.get()
	if err != nil {
		return // the log says nearly as much
	}
	var entry hraft.Log
	if err := d.log.GetLog(index, &entry); err == nil && entry.Term == term {
		d.log.commit(index)
	}
}

// replay applies what is committed. Raft will apply it again when it hears of that from a leader, which changes nothing.
func (d *disk) replay(m Machine) error {
	next, last := max(d.snapshotIndex(), m.Revision())+1, d.log.committed.Load()
	for next <= last {
		var entries []Entry
		for ; next <= last && len(entries) < replayed; next++ {
			var l hraft.Log
			if err := d.log.GetLog(next, &l); err != nil {
				return fmt.Errorf("read entry %d of the Raft log: %w", next, err)
			}
			if counts(&l) {
				entries = append(entries, Entry{Index: l.Index, Data: l.Data})
			}
		}
		m.Apply(entries)
	}
	return nil
}

// committed takes note of the last entry that was applied.
func (d *disk) committed(index, term uint64) {
	if index <= d.log.committed.Load() {
		return // it is applied again
	}
	d.log.commit(index)
	if d.commits == nil {
		return
	}
	if err := d.commits.set(index, term); err != nil {
		d.forgo(d.commits.path, err)
		d.commits = nil // its page stays mapped until the process ends
	}
}

// forgo goes on without the note.
func (d *disk) forgo(path string, err error) {
	d.logger.Warn("after a start without the others this server will not show the last write that was committed before", "file", path, "error", err)
}

func (d *disk) snapshotIndex() uint64 {
	if d.snapshot == nil {
		return 0
	}
	return d.snapshot.Index
}
