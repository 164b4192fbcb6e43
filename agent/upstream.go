package agent

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// Upstream is where an agent learns what to run and where it tells what became of it: the store on a server, the API of
// the servers on a worker. Objects handed out are shared: never modify them. Errors are transient unless they wrap
// ErrNotFound.
type Upstream interface {
	// Register makes the Node object exist and carry these labels, addresses, capacity and conditions. It writes only
	// when something changed, and returns the object as stored (with spec.podCIDR and so on). When the cluster cannot be asked
	// for a while it returns the object as it was known last, and registers later.
	Register(ctx context.Context, node *corev1.Node) (*corev1.Node, error)
	// Follow calls update with all pods bound to the node, first at once and then after each change (coalesced), until
	// ctx ends.
	// Until current is true they are those that were known last, because the cluster cannot be asked: pods may be missing.
	Follow(ctx context.Context, node string, update func(pods []*corev1.Pod, current bool)) error
	// FollowNodes calls update with all nodes of the cluster, first at once and then after each change (coalesced), until ctx
	// ends.
	FollowNodes(ctx context.Context, update func([]*corev1.Node)) error
	// WriteStatus stores what the statuses of pods come to with what others have written; a pod whose UID is gone is passed over.
	// What did not change is not written. It returns a revision from which on the pods have them, unless somebody has written others since.
	WriteStatus(ctx context.Context, updates []PodStatus) (uint64, error)
	// Remove deletes a pod object for good once nothing of it is left on the machine. Gone already is no error.
	Remove(ctx context.Context, pod PodRef) error
	// ConfigMap and Secret wrap ErrNotFound when there is none.
	ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	// FollowConfig calls changed with the namespace and name of each ConfigMap or Secret that was written, until ctx ends.
	// At first, and when it may have missed some, it calls it with no name: then any may have changed.
	FollowConfig(ctx context.Context, changed func(namespace, name string)) error
	// Event records that something happened to a pod. Equal events (same pod, reason and message) are counted up on one
	// object. It does not block on the store and may drop under pressure.
	Event(pod PodRef, eventType, reason, message string, containerPath string)
	// NodeEvent records that something happened to a node, in the same way.
	NodeEvent(node, eventType, reason, message string)
}

// PodStatus is the new status of one pod as its agent knows it. Onto says what counts of it.
type PodStatus struct {
	Pod    PodRef
	Status corev1.PodStatus
}
