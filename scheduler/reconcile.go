package scheduler

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

func (r *round) deployment(w work) {
	d, ok := get[*appsv1.Deployment](r.view, w.key)
	if !ok || r.index.isClosed(w.key.Namespace) {
		return
	}
	in := controller.DeploymentInput{
		Deployment:  d,
		ReplicaSets: load[*appsv1.ReplicaSet](r, r.candidates(d.UID, w.key.Namespace, controller.ReplicaSets)),
		NameTaken:   r.nameTaken(controller.ReplicaSets, w.key.Namespace),
	}
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		for _, rs := range in.ReplicaSets {
			in.Pods = append(in.Pods, load[*corev1.Pod](r, r.index.dependents[rs.UID].of(controller.Pods))...)
		}
	}
	r.take(w, controller.Deployment(in, r.env))
}

func (r *round) replicaSet(w work) {
	rs, ok := get[*appsv1.ReplicaSet](r.view, w.key)
	if !ok || r.index.isClosed(w.key.Namespace) {
		return
	}
	r.take(w, controller.ReplicaSet(controller.ReplicaSetInput{
		ReplicaSet: rs,
		Pods:       load[*corev1.Pod](r, r.candidates(rs.UID, w.key.Namespace, controller.Pods)),
		NameTaken:  r.nameTaken(controller.Pods, w.key.Namespace),
		Siblings:   func() map[string]int { return r.siblings(rs.UID) },
	}, r.env))
}

// ended deletes the oldest of too many pods that have ended.
func (r *round) ended(w work) {
	pods := make([]controller.EndedPod, 0, len(r.index.ended))
	for key := range r.index.ended {
		if p := r.index.facts[key].pod; !p.deletes {
			pods = append(pods, controller.EndedPod{Ref: controller.Ref(key), Created: p.started})
		}
	}
	for _, p := range controller.TooManyEnded(pods, r.most) {
		if r.isFull() {
			r.queue.add(w.kind, w.key)
			return
		}
		if pod, ok := get[*corev1.Pod](r.view, store.Key(p.Ref)); ok {
			r.take(w, controller.Discard(pod, r.env))
		}
	}
}

// siblings counts by node the active pods of the other replica sets that have the same controller.
func (r *round) siblings(uid types.UID) map[string]int {
	out := map[string]int{}
	parent := r.index.facts[r.index.byUID[uid]].controller()
	if parent == "" {
		return out
	}
	for set := range r.index.dependents[parent] {
		other := r.index.facts[set].uid
		if other == uid || set.Resource != controller.ReplicaSets {
			continue
		}
		for key := range r.index.dependents[other] {
			if p := r.index.facts[key].pod; p != nil && !p.ended && !p.deletes {
				out[p.node]++
			}
		}
	}
	return out
}

func (r *round) budget(w work) {
	b, ok := get[*policyv1.PodDisruptionBudget](r.view, w.key)
	if !ok || r.index.isClosed(w.key.Namespace) {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return // the API refuses such a budget
	}
	in := controller.BudgetInput{Budget: b, Scale: r.workload}
	for key := range r.index.pods[w.key.Namespace] {
		f := r.index.facts[key]
		if selector.Matches(r.index.cluster.Labels(f.pod.demand)) {
			in.Pods = append(in.Pods, controller.BudgetPod{Name: key.Name, Controller: f.controller(), Ready: f.pod.ready, Deleting: f.pod.deletes})
		}
	}
	r.take(w, controller.Budget(in, r.env))
}

// workload is the size of what controls a pod: a replica set's, or that of its deployment.
func (r *round) workload(uid types.UID) (workload types.UID, replicas int32, ok bool) {
	rs, ok := get[*appsv1.ReplicaSet](r.view, r.index.byUID[uid])
	if !ok {
		return "", 0, false
	}
	if d, ok := get[*appsv1.Deployment](r.view, r.index.byUID[r.index.facts[r.index.byUID[uid]].controller()]); ok {
		return d.UID, sizeOf(d.Spec.Replicas), true
	}
	return rs.UID, sizeOf(rs.Spec.Replicas), true
}

func sizeOf(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// candidates are the objects that an owner controls, or may adopt.
func (r *round) candidates(owner types.UID, namespace, resource string) []store.Key {
	out := r.index.dependents[owner].of(resource)
	for key := range r.index.loose[namespace] {
		if _, twice := r.index.dependents[owner][key]; key.Resource == resource && !twice {
			out = append(out, key)
		}
	}
	return out
}

func (r *round) nameTaken(resource, namespace string) func(string) bool {
	return func(name string) bool {
		return r.index.facts[store.Key{Resource: resource, Namespace: namespace, Name: name}] != nil
	}
}

func load[T store.Object](r *round, keys []store.Key) []T {
	out := make([]T, 0, len(keys))
	for _, key := range keys {
		if obj, ok := get[T](r.view, key); ok {
			out = append(out, obj)
		}
	}
	return out
}

// garbage leaves an object alone that is another than the index knows, or has other owners: the state may be ahead of the index, which
// may not know these owners yet. The event of that says what is to be done.
func (r *round) garbage(w work) {
	obj, ok := get[store.Object](r.view, w.key)
	if f := r.index.facts[w.key]; !ok || f == nil || f.uid != obj.GetUID() || !slices.Equal(f.owners, ownersOf(obj)) {
		return
	}
	in := controller.GarbageInput{Ref: controller.Ref(w.key), Object: obj, Owners: map[types.UID]controller.OwnerState{}}
	waits := false
	for _, ref := range obj.GetOwnerReferences() {
		state := r.ownerState(ref.UID, schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind), w.key.Namespace)
		in.Owners[ref.UID] = state
		waits = waits || state == controller.OwnerWaits
	}
	if waits || r.index.facts[w.key].finalizing {
		for key := range r.index.dependents[obj.GetUID()] {
			if dependent, ok := get[store.Object](r.view, key); ok {
				in.Dependents = append(in.Dependents, controller.Dependent{Ref: controller.Ref(key), Object: dependent})
			}
		}
	}
	r.take(w, controller.Garbage(in, r.env))
}

// ownerState looks an owner up by its UID. An owner in another namespace does not count; one of a kind that is not
// stored here cannot be judged.
func (r *round) ownerState(uid types.UID, gvk schema.GroupVersionKind, namespace string) controller.OwnerState {
	key, ok := r.index.byUID[uid]
	if !ok || key.Namespace != "" && key.Namespace != namespace {
		plural, _ := meta.UnsafeGuessKindToResource(gvk)
		if !r.resources[plural.GroupResource().String()] {
			return controller.OwnerThere
		}
		return controller.OwnerGone
	}
	if obj, ok := get[store.Object](r.view, key); ok && obj.GetDeletionTimestamp() != nil &&
		slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents) {
		return controller.OwnerWaits
	}
	return controller.OwnerThere
}

func (r *round) lostPod(w work) {
	pod, ok := get[*corev1.Pod](r.view, w.key)
	if !ok {
		return
	}
	r.take(w, controller.LostPod(pod, r.since(r.index.missing[pod.Spec.NodeName]), r.env))
}

// maxContent is how much of a namespace is removed in one decision.
const maxContent = 300

func (r *round) namespace(w work) {
	ns, ok := get[*corev1.Namespace](r.view, w.key)
	if !ok {
		if slices.Contains(controller.RequiredNamespaces, w.key.Name) {
			r.take(w, controller.NewNamespace(w.key.Name, r.env))
		}
		return
	}
	account := store.Key{Resource: controller.ServiceAccounts, Namespace: ns.Name, Name: "default"}
	in := controller.NamespaceInput{Namespace: ns, HasServiceAccount: r.index.facts[account] != nil}
	if ns.DeletionTimestamp != nil {
		in.Content = r.content(ns.Name)
	}
	r.take(w, controller.Namespace(in, r.env))
}

// content is what is in a namespace: its pods, or when there are none, a part of the rest. The index may still have what the
// snapshot has no more, so that only what is looked up counts.
func (r *round) content(namespace string) []controller.Dependent {
	all := r.index.inNamespace[namespace]
	out := r.dependents(all.of(controller.Pods))
	for key := range all {
		if len(out) > 0 && (out[0].Ref.Resource == controller.Pods || len(out) == maxContent) {
			break
		}
		out = append(out, r.dependents([]store.Key{key})...)
	}
	return out
}

// dependents are those of the objects that are there.
func (r *round) dependents(objects []store.Key) []controller.Dependent {
	var out []controller.Dependent
	for _, key := range objects {
		if obj, ok := get[store.Object](r.view, key); ok {
			out = append(out, controller.Dependent{Ref: controller.Ref(key), Object: obj})
		}
	}
	return out
}
