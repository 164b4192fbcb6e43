package store

import (
	"errors"
	"fmt"
)

// Tx collects the effects of one transaction over a snapshot. Nothing happens before Update's function has returned.
type Tx struct {
	snapshot *Snapshot
	codec    *codec
	effects  []effect
	keys     map[Key]bool
	err      error // the first mistake; Update returns it
}

// Snapshot is what the transaction reads. Its own effects are not visible in it.
func (t *Tx) Snapshot() *Snapshot { return t.snapshot }

// Get reads from the snapshot.
func (t *Tx) Get(k Key) (*Record, bool) { return t.snapshot.Get(k) }

// Create writes an object that must not exist when the transaction is applied.
func (t *Tx) Create(k Key, obj Object) { t.write(opCreate, k, obj, 0) }

// Put replaces an object that must still be at revision expect when the transaction is applied.
func (t *Tx) Put(k Key, obj Object, expect uint64) { t.write(opPut, k, obj, expect) }

// Set creates an object, or replaces the one that the snapshot has, as Create and Put do.
func (t *Tx) Set(k Key, obj Object) {
	if rec, ok := t.Get(k); ok {
		t.Put(k, obj, rec.Revision())
	} else {
		t.Create(k, obj)
	}
}

// Delete removes an object that must still be at revision expect when the transaction is applied.
func (t *Tx) Delete(k Key, expect uint64) { t.add(effect{op: opDelete, key: k, expect: expect}) }

func (t *Tx) write(op op, k Key, obj Object, expect uint64) {
	raw, err := t.codec.encode(obj)
	if err != nil {
		t.fail(fmt.Errorf("write %s: %w", k, err))
		return
	}
	t.add(effect{op: op, key: k, expect: expect, raw: raw})
}

func (t *Tx) add(e effect) {
	switch {
	case !e.key.valid():
		t.fail(fmt.Errorf("invalid key %q", e.key.encode()))
	case t.keys[e.key]:
		t.fail(fmt.Errorf("two effects on %s in one transaction", e.key))
	default:
		if t.keys == nil {
			t.keys = map[Key]bool{}
		}
		t.keys[e.key] = true
		t.effects = append(t.effects, e)
	}
}

func (t *Tx) fail(err error) { t.err = errors.Join(t.err, err) }

// conflict is the error of the first effect that the snapshot contradicts.
func (t *Tx) conflict() error {
	for i := range t.effects {
		if err := t.effects[i].check(t.snapshot.Get(t.effects[i].key)); err != nil {
			return err
		}
	}
	return nil
}
