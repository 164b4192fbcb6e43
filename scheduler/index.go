package scheduler

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/scheduler/placement"
	"covey.dev/covey/store"
)

type keys map[store.Key]struct{}

// index is the facts of all objects, and the ways to find them.
type index struct {
	facts       map[store.Key]*fact
	byUID       map[types.UID]store.Key
	dependents  map[types.UID]keys
	inNamespace map[string]keys
	onNode      map[string]keys // pods
	waiting     keys            // pods without a node
	related     int             // those of them that depend on other pods
	nominated   keys            // those of them for which room is made on a node
	priorities  map[int32]int   // of the pods on nodes
	loose       map[string]keys // pods and replica sets that nobody controls, by namespace
	nodes       map[string]bool
	missing     map[string]time.Time // since when a node that pods are bound to is not there
	ended       keys                 // pods
	budgets     map[string]keys      // PodDisruptionBudgets by namespace
	pods        map[string]keys      // by namespace: those that a budget may count
	eventIDs    map[string]store.Key
	eventGroups map[string]keys
	cluster     *placement.Cluster

	journal *[]entry // what to put back when a round fails; nil outside of rounds
}

type entry struct {
	key store.Key
	was *fact
}

func newIndex() *index {
	return &index{
		facts: map[store.Key]*fact{}, byUID: map[types.UID]store.Key{}, dependents: map[types.UID]keys{},
		inNamespace: map[string]keys{}, onNode: map[string]keys{}, waiting: keys{}, loose: map[string]keys{},
		nominated: keys{}, priorities: map[int32]int{}, budgets: map[string]keys{}, pods: map[string]keys{}, ended: keys{},
		nodes: map[string]bool{}, missing: map[string]time.Time{}, eventIDs: map[string]store.Key{},
		eventGroups: map[string]keys{}, cluster: placement.NewCluster(),
	}
}

// put replaces what is known of an object; nil when it is gone. It returns what was known.
func (x *index) put(key store.Key, f *fact) (was *fact) {
	was = x.facts[key]
	if x.journal != nil {
		*x.journal = append(*x.journal, entry{key, was})
	}
	if was != nil {
		x.remove(key, was)
		delete(x.facts, key)
	}
	if f != nil {
		x.facts[key] = f
		x.insert(key, f)
	}
	if key.Resource == nodeResource {
		x.putNode(key.Name, f)
	}
	if key.Resource == controller.Namespaces {
		if f == nil {
			x.cluster.RemoveNamespace(key.Name)
		} else {
			x.cluster.SetNamespace(key.Name, f.space)
		}
	}
	return was
}

func (x *index) insert(key store.Key, f *fact) {
	x.byUID[f.uid] = key
	for _, o := range f.owners {
		add(x.dependents, o.uid, key)
	}
	if key.Namespace != "" {
		add(x.inNamespace, key.Namespace, key)
	}
	if f.loose {
		add(x.loose, key.Namespace, key)
	}
	if key.Resource == controller.Budgets {
		add(x.budgets, key.Namespace, key)
	}
	if p := f.pod; p != nil {
		if p.demand != nil {
			add(x.pods, key.Namespace, key)
		}
		if p.ended {
			x.ended[key] = struct{}{}
		}
		if p.waits {
			x.waiting[key] = struct{}{}
			if p.demand.Related() {
				x.related++
			}
			if p.nominated != "" {
				x.nominated[key] = struct{}{}
			}
		}
		if p.node != "" {
			add(x.onNode, p.node, key)
			if p.demand != nil {
				x.cluster.Add(p.node, p.demand)
				x.priorities[p.priority]++
			}
		}
	}
	if e := f.event; e != nil {
		x.eventIDs[e.id] = key
		add(x.eventGroups, e.group, key)
	}
}

func (x *index) remove(key store.Key, f *fact) {
	if x.byUID[f.uid] == key {
		delete(x.byUID, f.uid)
	}
	for _, o := range f.owners {
		drop(x.dependents, o.uid, key)
	}
	if key.Namespace != "" {
		drop(x.inNamespace, key.Namespace, key)
	}
	if f.loose {
		drop(x.loose, key.Namespace, key)
	}
	if key.Resource == controller.Budgets {
		drop(x.budgets, key.Namespace, key)
	}
	if p := f.pod; p != nil {
		drop(x.pods, key.Namespace, key)
		delete(x.ended, key)
		if p.waits {
			delete(x.waiting, key)
			delete(x.nominated, key)
			if p.demand.Related() {
				x.related--
			}
		}
		if p.node != "" {
			drop(x.onNode, p.node, key)
			if p.demand != nil {
				x.cluster.Remove(p.node, p.demand)
				if x.priorities[p.priority]--; x.priorities[p.priority] == 0 {
					delete(x.priorities, p.priority)
				}
			}
		}
	}
	if e := f.event; e != nil {
		if x.eventIDs[e.id] == key {
			delete(x.eventIDs, e.id)
		}
		drop(x.eventGroups, e.group, key)
	}
}

func (x *index) putNode(name string, f *fact) {
	if f == nil || f.node == nil {
		delete(x.nodes, name)
		x.cluster.RemoveNode(name)
		return
	}
	x.nodes[name] = true
	delete(x.missing, name)
	x.cluster.SetNode(f.node)
}

// hasLower says whether any pod on a node is less important.
func (x *index) hasLower(priority int32) bool {
	for p := range x.priorities {
		if p < priority {
			return true
		}
	}
	return false
}

// isClosed says whether nothing may be made in the namespace any more.
func (x *index) isClosed(namespace string) bool {
	f := x.facts[store.Key{Resource: controller.Namespaces, Name: namespace}]
	return f != nil && f.deleting
}

// of gives the objects of a resource in a set.
func (k keys) of(resource string) []store.Key {
	var out []store.Key
	for key := range k {
		if key.Resource == resource {
			out = append(out, key)
		}
	}
	return out
}

func add[K comparable](m map[K]keys, k K, key store.Key) {
	if m[k] == nil {
		m[k] = keys{}
	}
	m[k][key] = struct{}{}
}

func drop[K comparable](m map[K]keys, k K, key store.Key) {
	if delete(m[k], key); len(m[k]) == 0 {
		delete(m, k)
	}
}
