package controller

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var replicaSetKind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")

// A replica set creates or deletes at most this many pods in one decision, so that a commit stays small.
const maxPodsAtOnce = 250

// ReplicaSetInput is a replica set and the pods of its namespace that it controls or that nobody controls. NameTaken
// says whether there is a pod of that name in the namespace; nil for no. Siblings counts the active pods by node that
// belong to the other replica sets of its deployment; nil for none.
type ReplicaSetInput struct {
	ReplicaSet *appsv1.ReplicaSet
	Pods       []*corev1.Pod
	NameTaken  func(name string) bool
	Siblings   func() map[string]int
}

// ReplicaSet brings the number of pods to what is asked for, and the status to what is there after that.
func ReplicaSet(in ReplicaSetInput, env Env) Result {
	var r Result
	rs := in.ReplicaSet
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil || selector.Empty() {
		return r // the API refuses such a replica set
	}
	pods, all := claim(&r, Pods, rs, replicaSetKind, selector, in.Pods, &env)
	if !all {
		return r
	}
	active, stopping, held := pods[:0:0], int32(0), 0
	for _, pod := range pods {
		switch {
		case isActive(pod):
			active = append(active, pod)
		case !hasEnded(pod):
			stopping++
			if runsAtMostOnce(pod) {
				held++
			}
		}
	}
	var failure error
	if rs.DeletionTimestamp == nil {
		var removed int32
		active, removed, failure = r.manage(in, active, held, &env)
		stopping += removed
	}
	r.replicaSetStatus(rs, active, stopping, failure, &env)
	return r
}

// A pod that the API would refuse is tried again after this time: what it lacks may be there then.
const refusedRetry = 10 * time.Second

// manage creates or deletes pods and returns those that are active afterwards, and how many it has asked to stop. The places of
// those held are not free yet. The error is of a pod that may not be created.
func (r *Result) manage(in ReplicaSetInput, active []*corev1.Pod, held int, env *Env) (left []*corev1.Pod, stopping int32, failure error) {
	rs := in.ReplicaSet
	switch missing := int(replicas(rs.Spec.Replicas)) - len(active); {
	case missing > 0:
		taken := map[string]bool{}
		for range min(missing-held, maxPodsAtOnce) {
			if r.isFull(env) {
				break
			}
			pod, err := newPod(rs, env)
			if err != nil {
				r.Events = append(r.Events, Event{
					reference("apps/v1", "ReplicaSet", rs), "replicaset-controller", corev1.EventTypeWarning, "FailedCreate",
					"Error creating: " + err.Error(),
				})
				r.dueAt(env.Now.Add(refusedRetry))
				return active, 0, err
			}
			for taken[pod.Name] || in.NameTaken != nil && in.NameTaken(pod.Name) {
				pod.Name = pod.Name[:len(pod.Name)-5] + env.Suffix()
			}
			taken[pod.Name] = true
			r.change(Create, Pods, pod)
			r.replicaSetEvent(rs, "SuccessfulCreate", "Created pod: "+pod.Name)
			active = append(active, pod)
		}
	case missing < 0:
		rankForDeletion(active, in.Siblings)
		extra := min(-missing, maxPodsAtOnce)
		for i, pod := range active[:extra] {
			if r.isFull(env) {
				extra = i
				break
			}
			r.remove(Pods, pod, env)
			if r.Changes[len(r.Changes)-1].Verb == Update {
				stopping++
			}
			r.replicaSetEvent(rs, "SuccessfulDelete", "Deleted pod: "+pod.Name)
		}
		active = active[extra:]
	}
	return active, stopping, nil
}

func (r *Result) replicaSetEvent(rs *appsv1.ReplicaSet, reason, message string) {
	r.Events = append(r.Events, Event{
		reference("apps/v1", "ReplicaSet", rs), "replicaset-controller", corev1.EventTypeNormal, reason, message,
	})
}

// clockSetBack is how far in the future a time of readiness may be, because nodes' clocks differ. Of one further on the clock was set
// back since: its pod would not count until the clock is there again.
const clockSetBack = time.Minute

func (r *Result) replicaSetStatus(rs *appsv1.ReplicaSet, active []*corev1.Pod, stopping int32, failure error, env *Env) {
	status := appsv1.ReplicaSetStatus{
		Replicas: int32(len(active)), TerminatingReplicas: &stopping, ObservedGeneration: rs.Generation,
		Conditions: replicaFailure(rs.Status.Conditions, failure, env),
	}
	template := labels.SelectorFromValidatedSet(rs.Spec.Template.Labels)
	wait := time.Duration(rs.Spec.MinReadySeconds) * time.Second
	for _, pod := range active {
		if template.Matches(labels.Set(pod.Labels)) {
			status.FullyLabeledReplicas++
		}
		since, ready := readySince(pod)
		if !ready {
			continue
		}
		status.ReadyReplicas++
		if at := since.Add(wait); wait == 0 || !env.Now.Before(at) || since.Sub(env.Now) > clockSetBack {
			status.AvailableReplicas++
		} else {
			r.dueAt(at)
		}
	}
	if apiequality.Semantic.DeepEqual(status, rs.Status) {
		return
	}
	rs = rs.DeepCopy()
	rs.Status = status
	r.change(Update, ReplicaSets, rs)
}

// replicas is a count as the API defaults it.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// replicaFailure is conditions with one that says why pods cannot be created, while that is so.
func replicaFailure(conditions []appsv1.ReplicaSetCondition, failure error, env *Env) []appsv1.ReplicaSetCondition {
	i := slices.IndexFunc(conditions, func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure })
	switch {
	case failure == nil && i < 0:
		return conditions
	case failure == nil:
		return slices.Delete(slices.Clone(conditions), i, i+1)
	case i >= 0 && conditions[i].Message == failure.Error():
		return conditions
	}
	condition := appsv1.ReplicaSetCondition{
		Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, LastTransitionTime: env.stamp(),
		Reason: "FailedCreate", Message: failure.Error(),
	}
	if i >= 0 {
		conditions = slices.Delete(slices.Clone(conditions), i, i+1)
	}
	return append(slices.Clone(conditions), condition)
}
