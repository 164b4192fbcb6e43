package store

import (
	"iter"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

type tree = iradix.Tree[*Record]

// Snapshot is the whole state at one revision. It never changes, costs nothing to take, and needs no closing.
type Snapshot struct {
	revision uint64
	tree     *tree
}

// Revision is the revision of the last change that the snapshot holds.
func (v *Snapshot) Revision() uint64 { return v.revision }

// Get returns one object's record; false when there is none.
func (v *Snapshot) Get(k Key) (*Record, bool) {
	return v.tree.Get([]byte(k.encode()))
}

// List yields a resource's records ordered by namespace, then name; an empty namespace means all namespaces.
func (v *Snapshot) List(resource, namespace string) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		it := v.tree.Root().Iterator()
		it.SeekPrefix([]byte(keyPrefix(resource, namespace)))
		for _, r, ok := it.Next(); ok; _, r, ok = it.Next() {
			if !yield(r) {
				return
			}
		}
	}
}

// ListFrom is List from the first key behind after on, for reading page by page. Only the namespace and name of after count.
func (v *Snapshot) ListFrom(resource, namespace string, after Key) iter.Seq[*Record] {
	prefix := keyPrefix(resource, namespace)
	after.Resource = resource
	from := max(after.encode(), prefix)
	return func(yield func(*Record) bool) {
		it := v.tree.Root().Iterator()
		it.SeekLowerBound([]byte(from))
		for key, r, ok := it.Next(); ok && strings.HasPrefix(string(key), prefix); key, r, ok = it.Next() {
			if string(key) == from {
				continue
			}
			if !yield(r) {
				return
			}
		}
	}
}

// Count is the number of records that List yields.
func (v *Snapshot) Count(resource, namespace string) int {
	n := 0
	for range v.List(resource, namespace) {
		n++
	}
	return n
}

// Get returns one decoded object; false when there is none, or it is not a T. The object is shared: never modify it.
func Get[T Object](v *Snapshot, k Key) (T, bool) {
	r, ok := v.Get(k)
	if !ok {
		var none T
		return none, false
	}
	obj, ok := r.Object().(T)
	return obj, ok
}

// List yields a resource's decoded objects that are Ts, in List's order. The objects are shared: never modify them.
func List[T Object](v *Snapshot, resource, namespace string) iter.Seq[T] {
	return func(yield func(T) bool) {
		for r := range v.List(resource, namespace) {
			if obj, ok := r.Object().(T); ok && !yield(obj) {
				return
			}
		}
	}
}
