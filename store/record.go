package store

import (
	"strconv"
	"sync/atomic"
	"weak"
)

// Record is one object as it is stored at one revision. It is immutable.
type Record struct {
	key      Key
	revision uint64
	raw      []byte
	codec    *codec
	decoded  atomic.Pointer[weak.Pointer[decodedObject]]
}

// decodedObject boxes a decoded object, because a weak pointer needs a concrete type to point to.
type decodedObject struct{ Object }

// Key names the object.
func (r *Record) Key() Key { return r.key }

// Revision is the revision of the object's last change: its resourceVersion.
func (r *Record) Revision() uint64 { return r.revision }

// Object returns the decoded object, with apiVersion, kind and metadata.resourceVersion set. It is shared with other
// readers: never modify it, use DeepCopyObject. It is decoded on first use and forgotten when memory is collected, so
// that a quiet store holds only the encoded bytes. An object of a kind that the scheme does not know (written by a newer
// covey) comes as a metav1.PartialObjectMetadata that has nothing but its name.
func (r *Record) Object() Object {
	if p := r.decoded.Load(); p != nil {
		if box := p.Value(); box != nil {
			return box.Object
		}
	}
	obj, err := r.codec.decode(r.raw)
	if err != nil {
		obj = nameOnly(r.key)
	}
	obj.SetResourceVersion(strconv.FormatUint(r.revision, 10))
	p := weak.Make(&decodedObject{obj})
	r.decoded.Store(&p)
	return obj
}

// size is roughly what the record holds in memory, in bytes.
func (r *Record) size() int {
	if r == nil {
		return 0
	}
	return len(r.raw) + 2*len(r.key.Name) + 200
}
