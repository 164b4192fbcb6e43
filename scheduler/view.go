package scheduler

import (
	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

// view is a snapshot with a round's changes laid over it.
type view struct {
	snap    *store.Snapshot
	changes map[store.Key]*change
	order   []store.Key // may hold keys whose change has cancelled out
}

type change struct {
	verb   controller.Verb
	obj    store.Object
	expect uint64 // the revision of what is changed; none for a creation
}

func newView(snap *store.Snapshot) *view {
	return &view{snap: snap, changes: map[store.Key]*change{}}
}

// get gives an object as it will be after the round. It is shared: never modify it.
func get[T store.Object](v *view, key store.Key) (obj T, ok bool) {
	if c, changed := v.changes[key]; changed {
		if c.verb == controller.Delete {
			return obj, false
		}
		obj, ok = c.obj.(T)
		return obj, ok
	}
	rec, ok := v.snap.Get(key)
	if !ok {
		return obj, false
	}
	obj, ok = rec.Object().(T)
	return obj, ok
}

// apply lays one change over the view. It reports false, and does nothing, when the change is not possible: to make
// what exists, or to change what does not.
func (v *view) apply(verb controller.Verb, key store.Key, obj store.Object) bool {
	if c, ok := v.changes[key]; ok {
		return v.merge(c, verb, key, obj)
	}
	rec, exists := v.snap.Get(key)
	if exists == (verb == controller.Create) {
		return false
	}
	c := &change{verb: verb, obj: obj}
	if exists {
		c.expect = rec.Revision()
	}
	v.changes[key] = c
	v.order = append(v.order, key)
	return true
}

// merge folds a second change of the same object into the first.
func (v *view) merge(c *change, verb controller.Verb, key store.Key, obj store.Object) bool {
	if (c.verb == controller.Delete) != (verb == controller.Create) {
		return false
	}
	switch {
	case c.verb == controller.Delete:
		c.verb = controller.Update // deleted and made again
	case verb == controller.Delete && c.verb == controller.Create:
		delete(v.changes, key) // it never was; its key stays in order and is passed over
		return true
	case verb == controller.Delete:
		c.verb = controller.Delete
	}
	c.obj = obj
	return true
}

// write hands the changes to the transaction.
func (v *view) write(tx *store.Tx) int {
	written := 0
	for _, key := range v.order {
		c, ok := v.changes[key]
		if !ok {
			continue
		}
		delete(v.changes, key) // a key may be in order twice
		written++
		switch c.verb {
		case controller.Create:
			tx.Create(key, c.obj)
		case controller.Update:
			tx.Put(key, c.obj, c.expect)
		case controller.Delete:
			tx.Delete(key, c.expect)
		}
	}
	return written
}
