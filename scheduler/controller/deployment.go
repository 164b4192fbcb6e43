package controller

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")

// DeploymentInput is a deployment and the replica sets of its namespace that it controls or that nobody controls. Pods
// are those of its replica sets; they are needed for the strategy Recreate only. NameTaken says whether there is a
// replica set of that name in the namespace; nil for no.
type DeploymentInput struct {
	Deployment  *appsv1.Deployment
	ReplicaSets []*appsv1.ReplicaSet
	Pods        []*corev1.Pod
	NameTaken   func(name string) bool
}

// rollout is one decision about a deployment, on copies.
type rollout struct {
	Result
	env  *Env
	in   DeploymentInput
	d    *appsv1.Deployment // a copy; only annotations and status are changed
	sets []*replicaSet      // all, the oldest first, the new one included
	next *replicaSet        // the one of the current template; nil when there is none
}

// replicaSet is the working copy of one.
type replicaSet struct {
	*appsv1.ReplicaSet
	isNew, changed, changedSpec, deleted bool
}

func (s *replicaSet) size() int32 { return replicas(s.Spec.Replicas) }

// available never exceeds the size, though the status may not yet know of a smaller size.
func (s *replicaSet) available() int32 { return min(s.Status.AvailableReplicas, s.size()) }

// Deployment decides the next step of a deployment: adopt, create and scale replica sets, keep their revisions, and
// say in the status how far it is.
func Deployment(in DeploymentInput, env Env) Result {
	o := &rollout{env: &env, in: in, d: in.Deployment.DeepCopy()}
	selector, err := metav1.LabelSelectorAsSelector(o.d.Spec.Selector)
	if err != nil || selector.Empty() {
		return o.Result // the API refuses such a deployment
	}
	sets, all := claim(&o.Result, ReplicaSets, o.d, deploymentKind, selector, in.ReplicaSets, o.env)
	if !all {
		return o.Result
	}
	for _, rs := range sets {
		o.sets = append(o.sets, &replicaSet{ReplicaSet: rs.DeepCopy()})
	}
	o.sortOldestFirst()
	o.next = o.findNext()
	if o.d.DeletionTimestamp != nil {
		o.syncRevision()
		o.setStatus(o.status())
		return o.finish()
	}
	o.pauseOrResume()
	switch {
	case o.d.Spec.Paused:
		o.syncRevision()
		o.scale()
		o.cleanUp()
		o.setStatus(o.status())
	case o.wasScaled():
		o.syncRevision()
		o.scale()
		o.setStatus(o.status())
	case o.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		o.recreate()
		o.progress()
	default:
		o.roll()
		o.progress()
	}
	return o.finish()
}

// recreate stops all old pods before it starts new ones.
func (o *rollout) recreate() {
	o.syncRevision()
	stopped := false
	for _, s := range o.old() {
		if s.size() > 0 {
			o.resize(s, 0)
			stopped = true
		}
	}
	if stopped || o.oldPodsRun() {
		return
	}
	if !o.createNext() {
		return
	}
	o.resize(o.next, o.want())
	if o.complete(&o.d.Status) {
		o.cleanUp()
	}
}

func (o *rollout) oldPodsRun() bool {
	for _, s := range o.old() {
		if s.Status.Replicas > 0 {
			return true
		}
	}
	for _, pod := range o.in.Pods {
		ref := metav1.GetControllerOfNoCopy(pod)
		if (o.next == nil || ref == nil || ref.UID != o.next.UID) && !hasEnded(pod) {
			return true
		}
	}
	return false
}

// roll takes one step of a rolling update: up with the new, and where there is nothing to add, down with the old.
func (o *rollout) roll() {
	o.syncRevision()
	if !o.createNext() {
		return
	}
	if size := o.nextSize(); size != o.next.size() {
		o.resize(o.next, size)
		return
	}
	if !o.scaleOldDown() && o.complete(&o.d.Status) {
		o.cleanUp()
	}
}

// nextSize is how large the new replica set may be now.
func (o *rollout) nextSize() int32 {
	want, have := o.want(), int32(0)
	if o.next != nil {
		have = o.next.size()
	}
	if have >= want || o.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return want
	}
	room := want + o.maxSurge() - o.total()
	if room <= 0 {
		return have
	}
	return have + min(room, want-have)
}

// scaleOldDown takes away old pods, those that are not available first, so that at least replicas - maxUnavailable are
// available, counting those that are still to become so.
func (o *rollout) scaleOldDown() bool {
	minAvailable := o.want() - o.maxUnavailable()
	spare := o.total() - minAvailable - (o.next.size() - o.next.available())
	done := int32(0)
	for _, s := range o.old() {
		if n := min(spare-done, s.size()-s.available()); n > 0 {
			o.resize(s, s.size()-n)
			done += n
		}
	}
	available := int32(0)
	for _, s := range o.sets {
		available += s.available()
	}
	for _, s := range o.old() {
		if n := min(spare-done, available-minAvailable, s.size()); n > 0 {
			available -= min(n, s.available())
			o.resize(s, s.size()-n)
			done += n
		}
	}
	return done > 0
}

// resize sets a replica set's size and the notes that a later proportional scaling needs, and tells of it.
func (o *rollout) resize(s *replicaSet, size int32) {
	from := s.size()
	if from == size {
		return
	}
	o.noteSize(s)
	s.Spec.Replicas = &size
	s.changed, s.changedSpec = true, true
	direction := "up"
	if size < from {
		direction = "down"
	}
	o.tell("ScalingReplicaSet", fmt.Sprintf("Scaled %s replica set %s from %d to %d", direction, s.Name, from, size))
}

func (o *rollout) tell(reason, message string) {
	o.Events = append(o.Events, Event{
		reference("apps/v1", "Deployment", o.in.Deployment), "deployment-controller", corev1.EventTypeNormal, reason, message,
	})
}

// finish turns the working copies into changes.
func (o *rollout) finish() Result {
	adopted := o.Changes
	o.Changes = nil
	for _, s := range o.sets {
		for i, c := range adopted {
			if c.Ref.Name == s.Name {
				adopted = append(adopted[:i:i], adopted[i+1:]...)
				s.changed = true
				break
			}
		}
		if s.changedSpec && !s.isNew {
			s.Generation++
		}
		switch {
		case s.deleted:
			o.remove(ReplicaSets, s.ReplicaSet, o.env)
		case s.isNew:
			o.change(Create, ReplicaSets, s.ReplicaSet)
		case s.changed:
			o.change(Update, ReplicaSets, s.ReplicaSet)
		}
	}
	o.Changes = append(adopted, o.Changes...)
	was := o.in.Deployment
	if !apiequality.Semantic.DeepEqual(was.Status, o.d.Status) || !apiequality.Semantic.DeepEqual(was.Annotations, o.d.Annotations) {
		o.change(Update, Deployments, o.d)
	}
	return o.Result
}
