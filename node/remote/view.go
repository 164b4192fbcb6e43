package remote

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"covey.dev/covey/store"
)

const (
	nodes      = "nodes"
	pods       = "pods"
	configMaps = "configmaps"
	secrets    = "secrets"

	// RemovedTable has an object for each node that was removed from the cluster, named by its ID. The API does not serve it.
	RemovedTable = "removednodes.covey.dev"
)

// public are the tables that every worker sees whole.
var public = []string{nodes, store.ProtocolTable, RemovedTable}

// view is the part of the state that one node may see: as Kubernetes' node authorizer has it, what its pods refer to.
type view struct {
	node  string
	pods  map[store.Key]*corev1.Pod
	refer map[store.Key]bool // ConfigMaps and Secrets
}

func newView(node string) *view {
	return &view{node: node, pods: map[store.Key]*corev1.Pod{}, refer: map[store.Key]bool{}}
}

// whole is all that the node may see at the beginning.
func (v *view) whole(snap *store.Snapshot) []store.Change {
	var all []store.Change
	for _, table := range public {
		for rec := range snap.List(table, "") {
			all = append(all, rec.Change())
		}
	}
	for rec := range snap.List(pods, "") {
		if pod, ok := rec.Object().(*corev1.Pod); ok && pod.Spec.NodeName == v.node {
			v.pods[rec.Key()] = pod
			all = append(all, rec.Change())
		}
	}
	return append(all, v.referred(snap)...)
}

// after is what the events change of what the node may see; snap has them.
func (v *view) after(events []store.Event, snap *store.Snapshot) []store.Change {
	var changes []store.Change
	podsChanged := false
	for _, ev := range events {
		key := ev.Key()
		switch {
		case slices.Contains(public, key.Resource), v.refer[key]:
			changes = append(changes, changeOf(ev))
		case key.Resource == pods:
			change, concerns := v.podChange(ev)
			if concerns {
				changes = append(changes, change)
				podsChanged = true
			}
		}
	}
	if podsChanged {
		changes = append(changes, v.referred(snap)...)
	}
	return changes
}

func changeOf(ev store.Event) store.Change {
	if ev.Cur == nil {
		return store.Change{Key: ev.Key()}
	}
	return ev.Cur.Change()
}

// podChange says whether an event is about a pod that is or was the node's.
func (v *view) podChange(ev store.Event) (store.Change, bool) {
	key := ev.Key()
	if ev.Cur != nil {
		if pod, ok := ev.Cur.Object().(*corev1.Pod); ok && pod.Spec.NodeName == v.node {
			v.pods[key] = pod
			return ev.Cur.Change(), true
		}
	}
	_, had := v.pods[key]
	delete(v.pods, key)
	return store.Change{Key: key}, had
}

// referred brings what the pods refer to up to date and says what is to be seen now, and what no longer.
func (v *view) referred(snap *store.Snapshot) []store.Change {
	refer := map[store.Key]bool{}
	for _, pod := range v.pods {
		name := func(resource string) podutil.Visitor {
			return func(name string) bool {
				refer[store.Key{Resource: resource, Namespace: pod.Namespace, Name: name}] = true
				return true
			}
		}
		podutil.VisitPodSecretNames(pod, name(secrets))
		podutil.VisitPodConfigmapNames(pod, name(configMaps))
	}
	var changes []store.Change
	for key := range refer {
		if rec, ok := snap.Get(key); ok && !v.refer[key] {
			changes = append(changes, rec.Change())
		}
	}
	for key := range v.refer {
		if !refer[key] {
			changes = append(changes, store.Change{Key: key})
		}
	}
	v.refer = refer
	return changes
}
