package scheduler

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/scheduler/placement"
	"covey.dev/covey/store"
)

// nominees are the pods that wait for room which was made for them. The room is held against all pods that are not more
// important: as the placement comes down to a priority, those of that priority and above count as bound.
type nominees struct {
	cluster *placement.Cluster
	waiting []nominee // the more important first
	held    int       // so many of them count
}

type nominee struct {
	key      store.Key
	node     string
	priority int32
	demand   *placement.Demand
}

func (r *round) nominees() *nominees {
	n := &nominees{cluster: r.index.cluster}
	for key := range r.index.nominated {
		p := r.index.facts[key].pod
		n.waiting = append(n.waiting, nominee{key, p.nominated, p.priority, p.demand})
	}
	slices.SortFunc(n.waiting, func(a, b nominee) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(a.key.Namespace, b.key.Namespace), strings.Compare(a.key.Name, b.key.Name))
	})
	return n
}

// hold counts those of at least the priority.
func (n *nominees) hold(priority int32) {
	for ; n.held < len(n.waiting) && n.waiting[n.held].priority >= priority; n.held++ {
		n.cluster.Add(n.waiting[n.held].node, n.waiting[n.held].demand)
	}
}

// drop lets go of a pod's room and reports where it was.
func (n *nominees) drop(key store.Key) (node string) {
	i := slices.IndexFunc(n.waiting, func(w nominee) bool { return w.key == key })
	if i < 0 {
		return ""
	}
	node = n.waiting[i].node
	if i < n.held {
		n.cluster.Remove(node, n.waiting[i].demand)
		n.held--
	}
	n.waiting = slices.Delete(n.waiting, i, i+1)
	return node
}

// add holds room for a pod; all of its priority are held already.
func (n *nominees) add(w nominee) {
	n.cluster.Add(w.node, w.demand)
	n.waiting = slices.Insert(n.waiting, n.held, w)
	n.held++
}

// release gives all room back: outside of the placement only pods that are bound count.
func (n *nominees) release() {
	for ; n.held > 0; n.held-- {
		n.cluster.Remove(n.waiting[n.held-1].node, n.waiting[n.held-1].demand)
	}
}

// lesser are the pods nominated to a node for which less important pods than this one would have gone.
func (n *nominees) lesser(node string, priority int32) []store.Key {
	var out []store.Key
	for _, w := range n.waiting {
		if w.node == node && w.priority < priority {
			out = append(out, w.key)
		}
	}
	return out
}

// preempt looks for a node on which less important pods can make room. It gives that, or says why there is none.
func (r *round) preempt(pod *corev1.Pod, demand *placement.Demand) (*placement.Preemption, string) {
	if pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy == corev1.PreemptNever {
		return nil, "not eligible due to preemptionPolicy=Never."
	}
	if !r.index.hasLower(priority(pod)) {
		return r.index.cluster.Preempt(demand, priority(pod), func(string) []placement.Bound { return nil }, nil)
	}
	return r.index.cluster.Preempt(demand, priority(pod), r.bound, r.budgets())
}

func (r *round) bound(node string) []placement.Bound {
	out := make([]placement.Bound, 0, len(r.index.onNode[node]))
	for key := range r.index.onNode[node] {
		if p := r.index.facts[key].pod; p.demand != nil {
			out = append(out, placement.Bound{
				NamespacedName: types.NamespacedName{Namespace: key.Namespace, Name: key.Name},
				Demand:         p.demand, Priority: p.priority, Started: p.started, Ending: p.deletes,
			})
		}
	}
	return out
}

// budgets are what the disruption budgets allow after what this round has taken of them: their statuses say so in the next one only.
func (r *round) budgets() []placement.Budget {
	if !r.resources[controller.Budgets] {
		return nil
	}
	var out []placement.Budget
	for rec := range r.view.snap.List(controller.Budgets, "") {
		b, ok := get[*policyv1.PodDisruptionBudget](r.view, rec.Key())
		if !ok {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || selector.Empty() {
			continue
		}
		budget := placement.Budget{Namespace: b.Namespace, Selector: selector, Allowed: b.Status.DisruptionsAllowed, Disrupted: map[string]bool{}}
		for name := range b.Status.DisruptedPods {
			budget.Disrupted[name] = true
		}
		for _, v := range r.victims {
			if v.Namespace == b.Namespace && !budget.Disrupted[v.Name] && selector.Matches(r.index.cluster.Labels(v.Demand)) {
				budget.Allowed--
			}
		}
		out = append(out, budget)
	}
	return out
}

// makeRoom has the victims go and notes in the pod where it is to be. Less important pods that waited for the same room
// look for another.
func (r *round) makeRoom(key store.Key, pod *corev1.Pod, demand *placement.Demand, p *placement.Preemption, n *nominees) {
	for _, v := range p.Victims {
		victim, ok := get[*corev1.Pod](r.view, store.Key{Resource: controller.Pods, Namespace: v.Namespace, Name: v.Name})
		if ok {
			r.take(work{}, controller.Preempt(victim, pod.UID, r.env))
			r.victims = append(r.victims, v)
		}
	}
	for _, other := range n.lesser(p.Node, priority(pod)) {
		n.drop(other)
		if q, ok := get[*corev1.Pod](r.view, other); ok {
			q = q.DeepCopy()
			q.Status.NominatedNodeName = ""
			r.change(controller.Update, other, q)
			r.queue.add(placements, other)
		}
	}
	n.add(nominee{key, p.Node, priority(pod), demand})
}

// awaitsRoom says whether pods are still going from the node that a pod is nominated to, and that this is why it does
// not fit yet.
func (r *round) awaitsRoom(pod *corev1.Pod) bool {
	node := pod.Status.NominatedNodeName
	if node == "" || !r.index.nodes[node] {
		return false
	}
	for key := range r.index.onNode[node] {
		if p := r.index.facts[key].pod; p.deletes && p.demand != nil && p.priority < priority(pod) {
			return true
		}
	}
	return false
}
