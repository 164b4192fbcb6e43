package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
)

// backupMagic begins a backup; behind it comes the stream of a snapshot, which ends with a checksum.
const backupMagic = "covey backup 1\n"

// ErrBackup is wrapped by the errors of what is no whole backup.
var ErrBackup = errors.New("not a whole backup of covey")

// WriteBackup writes the whole snapshot, for ReadBackup.
func (v *Snapshot) WriteBackup(w io.Writer) error {
	if _, err := io.WriteString(w, backupMagic); err != nil {
		return err
	}
	return v.writeStream(w)
}

// ReadBackup reads what WriteBackup wrote, to its end. Its errors wrap ErrBackup, are those of r, or a *protocol.Mismatch for a backup of a
// cluster that speaks what this covey does not.
func ReadBackup(r io.Reader, scheme *runtime.Scheme) (*Snapshot, error) {
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(r, magic); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if string(magic) != backupMagic {
		return nil, fmt.Errorf("%w: it does not begin as one of this version does", ErrBackup)
	}
	v, err := readStream(r, newCodec(scheme))
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it ends too early", ErrBackup)
	case errors.Is(err, errFormat), errors.Is(err, errChecksum):
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return v, err
}

// Restored counts what Restore did.
type Restored struct{ Created, Replaced, Deleted int }

const (
	// A restore writes at most so many objects, and about so many bytes, as one transaction.
	restoreObjects = 256
	restoreBytes   = 4 << 20
)

// Restore makes the state what it was in backup, by ordinary transactions: revisions go on rising, watchers see the changes,
// and an object that is as it was is not written. What the cluster has agreed on to speak stays. keep says what is left as it is now; nil keeps nothing. Resources are
// written in order and deleted in reverse; "" stands in it for those that it does not name. When it is cut off, part is restored, and doing it again completes it.
func (s *Store) Restore(ctx context.Context, backup *Snapshot, keep func(Key) bool, order []string) (Restored, error) {
	var done Restored
	now, err := s.Linearizable(ctx)
	if err != nil {
		return done, err
	}
	// What differs is found once: those who watch go on writing, and would be written over again and again.
	left := differences(now, backup, keep, order)
	for len(left) > 0 {
		some := first(left)
		var count Restored
		_, err := s.Update(ctx, func(tx *Tx) error {
			count = Restored{}
			for _, d := range some {
				d.is, _ = tx.Get(d.of)
				d.add(tx, &count)
			}
			return nil
		})
		if err != nil {
			return done, fmt.Errorf("restore: %w", err)
		}
		done.Created += count.Created
		done.Replaced += count.Replaced
		done.Deleted += count.Deleted
		left = left[len(some):]
	}
	return done, nil
}

// difference is what is to become of one object: is or wanted is nil when there is none.
type difference struct {
	of         Key
	is, wanted *Record
}

func (d difference) add(tx *Tx, count *Restored) {
	switch {
	case d.is == nil && d.wanted == nil: // somebody else has deleted it
	case d.is == nil:
		tx.add(effect{op: opCreate, key: d.wanted.key, raw: d.wanted.raw})
		count.Created++
	case d.wanted == nil:
		tx.Delete(d.is.key, d.is.revision)
		count.Deleted++
	default:
		tx.add(effect{op: opPut, key: d.is.key, expect: d.is.revision, raw: d.wanted.raw})
		count.Replaced++
	}
}

// differences are in the order in which they are to be written: what is wanted before what is to go.
func differences(now, backup *Snapshot, keep func(Key) bool, order []string) []difference {
	rank := func(resource string) int {
		if i := slices.Index(order, resource); i >= 0 {
			return i
		}
		return max(0, slices.Index(order, ""))
	}
	writes, deletes := map[int][]difference{}, map[int][]difference{}
	each(backup, func(r *Record) {
		is, there := now.Get(r.key)
		if r.key == agreedKey || (there && bytes.Equal(is.raw, r.raw)) || keep != nil && keep(r.key) {
			return
		}
		writes[rank(r.key.Resource)] = append(writes[rank(r.key.Resource)], difference{r.key, is, r})
	})
	each(now, func(r *Record) {
		if _, wanted := backup.Get(r.key); wanted || r.key == agreedKey || keep != nil && keep(r.key) {
			return
		}
		deletes[-rank(r.key.Resource)] = append(deletes[-rank(r.key.Resource)], difference{r.key, r, nil})
	})
	return append(inOrder(writes), inOrder(deletes)...)
}

func each(v *Snapshot, visit func(*Record)) {
	it := v.tree.Root().Iterator()
	for _, r, ok := it.Next(); ok; _, r, ok = it.Next() {
		visit(r)
	}
}

func inOrder(byRank map[int][]difference) []difference {
	var all []difference
	for _, rank := range slices.Sorted(maps.Keys(byRank)) {
		all = append(all, byRank[rank]...)
	}
	return all
}

// first takes from the list what fits into a transaction.
func first(list []difference) []difference {
	size := 0
	for i, d := range list {
		if d.wanted != nil {
			size += len(d.wanted.raw)
		}
		if i > 0 && (i == restoreObjects || size > restoreBytes) {
			return list[:i]
		}
	}
	return list
}
