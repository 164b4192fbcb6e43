package controller

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// The reasons of the condition Progressing that decisions depend on.
const (
	reasonPaused   = "DeploymentPaused"
	reasonComplete = "NewReplicaSetAvailable"
	reasonTimedOut = "ProgressDeadlineExceeded"
)

func (o *rollout) hasDeadline() bool {
	s := o.d.Spec.ProgressDeadlineSeconds
	return s != nil && *s != math.MaxInt32
}

func (o *rollout) deadline(from time.Time) time.Time {
	return from.Add(time.Duration(*o.d.Spec.ProgressDeadlineSeconds) * time.Second)
}

// pauseOrResume notes in the condition that the clock of the progress deadline stands, or starts again.
func (o *rollout) pauseOrResume() {
	cond := findCondition(&o.d.Status, appsv1.DeploymentProgressing)
	if !o.hasDeadline() || cond != nil && cond.Reason == reasonTimedOut {
		return
	}
	switch noted := cond != nil && cond.Reason == reasonPaused; {
	case o.d.Spec.Paused && !noted:
		o.setCondition(&o.d.Status, appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case !o.d.Spec.Paused && noted:
		o.setCondition(&o.d.Status, appsv1.DeploymentProgressing, corev1.ConditionUnknown, "DeploymentResumed", "Deployment is resumed")
	}
}

// status counts what there is.
func (o *rollout) status() appsv1.DeploymentStatus {
	st := appsv1.DeploymentStatus{
		ObservedGeneration: o.d.Generation, CollisionCount: o.d.Status.CollisionCount,
		Conditions: slices.Clone(o.d.Status.Conditions),
	}
	stopping, known := int32(0), true
	for _, s := range o.sets {
		switch n := s.Status.TerminatingReplicas; {
		case n != nil:
			stopping += *n
		case s.Status.ObservedGeneration > 0: // its status is of before there was such a count
			known = false
		}
		st.Replicas += s.Status.Replicas
		st.ReadyReplicas += s.Status.ReadyReplicas
		st.AvailableReplicas += s.Status.AvailableReplicas
	}
	if known {
		st.TerminatingReplicas = &stopping
	}
	if o.next != nil {
		st.UpdatedReplicas = o.next.Status.Replicas
	}
	st.UnavailableReplicas = max(o.total()-st.AvailableReplicas, 0)
	if st.AvailableReplicas >= o.want()-o.maxUnavailable() {
		o.setCondition(&st, appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable",
			"Deployment has minimum availability.")
	} else {
		o.setCondition(&st, appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable",
			"Deployment does not have minimum availability.")
	}
	return st
}

// setStatus takes over a new status; when nothing but the order of its conditions differs, the old one stays.
func (o *rollout) setStatus(st appsv1.DeploymentStatus) {
	byType := func(a, b appsv1.DeploymentCondition) int { return compareText(a.Type, b.Type) }
	was, is := o.in.Deployment.Status.DeepCopy(), st.DeepCopy()
	slices.SortFunc(was.Conditions, byType)
	slices.SortFunc(is.Conditions, byType)
	if apiequality.Semantic.DeepEqual(was, is) {
		st = o.in.Deployment.Status
	}
	o.d.Status = st
}

// progress sets the status of a rollout: how far it is, and whether it moved, ended or ran out of time.
func (o *rollout) progress() {
	before := o.d.Status
	st := o.status()
	cond := findCondition(&before, appsv1.DeploymentProgressing)
	atRest := cond != nil && cond.Reason == reasonComplete && st.Replicas == st.UpdatedReplicas
	switch {
	case !o.hasDeadline():
		dropCondition(&st, appsv1.DeploymentProgressing)
	case atRest:
	case o.complete(&st):
		o.setProgressing(&st, corev1.ConditionTrue, reasonComplete, "has successfully progressed.")
	case moved(&before, &st):
		// The same reason again, but a later update: the deadline counts from there.
		since := cond
		dropCondition(&st, appsv1.DeploymentProgressing)
		o.setProgressing(&st, corev1.ConditionTrue, "ReplicaSetUpdated", "is progressing.")
		if since != nil && since.Status == corev1.ConditionTrue {
			findCondition(&st, appsv1.DeploymentProgressing).LastTransitionTime = since.LastTransitionTime
		}
	case o.timedOut(cond):
		o.setProgressing(&st, corev1.ConditionFalse, reasonTimedOut, "has timed out progressing.")
	}
	o.passOnFailure(&st)
	o.setStatus(st)
	o.awaitDeadline()
}

func (o *rollout) setProgressing(st *appsv1.DeploymentStatus, status corev1.ConditionStatus, reason, what string) {
	who := fmt.Sprintf("Deployment %q", o.d.Name)
	if o.next != nil {
		who = fmt.Sprintf("ReplicaSet %q", o.next.Name)
	}
	o.setCondition(st, appsv1.DeploymentProgressing, status, reason, who+" "+what)
}

// complete says whether all replicas are new and available and no others are left.
func (o *rollout) complete(st *appsv1.DeploymentStatus) bool {
	return st.UpdatedReplicas == o.want() && st.Replicas == o.want() && st.AvailableReplicas == o.want() &&
		st.ObservedGeneration >= o.d.Generation
}

func moved(was, is *appsv1.DeploymentStatus) bool {
	return is.UpdatedReplicas > was.UpdatedReplicas || is.Replicas-is.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		is.ReadyReplicas > was.ReadyReplicas || is.AvailableReplicas > was.AvailableReplicas
}

func (o *rollout) timedOut(cond *appsv1.DeploymentCondition) bool {
	if cond == nil || cond.Reason == reasonComplete {
		return false
	}
	return cond.Reason == reasonTimedOut || !o.env.Now.Before(o.deadline(cond.LastUpdateTime.Time))
}

// awaitDeadline asks to be called again when a rollout that has not ended will have run out of time.
func (o *rollout) awaitDeadline() {
	cond := findCondition(&o.d.Status, appsv1.DeploymentProgressing)
	if o.hasDeadline() && cond != nil && cond.Reason != reasonTimedOut && cond.Reason != reasonComplete {
		o.dueAt(o.deadline(cond.LastUpdateTime.Time))
	}
}

// passOnFailure shows a replica set's failure to make pods, the new one's first, in the deployment.
func (o *rollout) passOnFailure(st *appsv1.DeploymentStatus) {
	var found *appsv1.ReplicaSetCondition
	for _, s := range o.sets {
		for i := range s.Status.Conditions {
			if c := &s.Status.Conditions[i]; c.Type == appsv1.ReplicaSetReplicaFailure && (found == nil || s == o.next) {
				found = c
			}
		}
	}
	if found == nil {
		dropCondition(st, appsv1.DeploymentReplicaFailure)
		return
	}
	o.setCondition(st, appsv1.DeploymentReplicaFailure, found.Status, found.Reason, found.Message)
}
