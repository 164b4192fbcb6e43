package store

import (
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"covey.dev/covey/store/boltfile"
	"covey.dev/covey/store/raft"
)

// Object is an API object as k8s.io/api defines it: a pointer to a struct with TypeMeta and ObjectMeta.
type Object interface {
	runtime.Object
	metav1.Object
}

// Key names one object. Resource is the plural name with its group, "pods" or "deployments.apps"
// (schema.GroupResource.String()). Namespace is empty for cluster-scoped resources.
type Key struct {
	Resource  string
	Namespace string
	Name      string
}

// Event is one object's change at one revision. Prev is nil when it was created, Cur is nil when it was deleted.
type Event struct {
	Revision  uint64
	Prev, Cur *Record
}

var (
	// ErrConflict is returned when an object changed between the snapshot a transaction read and its application,
	// more often than Update was willing to run the transaction again.
	ErrConflict = errors.New("the object has been modified")
	// ErrExpired is returned for a revision older than the bounded history.
	ErrExpired = errors.New("revision is older than the history")
	// ErrFuture is returned for a revision that this replica has not seen.
	ErrFuture = errors.New("revision is in the future")
	// ErrDamaged is wrapped by Open's error when the files in the directory are not whole; the error names the file.
	ErrDamaged = boltfile.ErrDamaged
	// ErrUnknown is wrapped where a write may or may not have happened.
	ErrUnknown = raft.ErrUnknown
	// ErrNotWritten is wrapped where the disk did not take a write, which did not happen.
	ErrNotWritten = raft.ErrNotWritten
	// ErrTooLarge is wrapped where a transaction is larger than one may be, and nothing is written.
	ErrTooLarge = errors.New("the transaction is too large")
	// ErrNotLeader is returned for a write on a node that does not lead.
	ErrNotLeader = errors.New("this node is not the leader")
)
