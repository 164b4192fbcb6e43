package controller_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// sizes are what the replica sets of v1 and v2 are to have; -1 for none.
func (s *sim) sizes() (old, next int32) {
	old, next = -1, -1
	for _, rs := range s.sets {
		switch rs.Spec.Template.Spec.Containers[0].Image {
		case "v1":
			old = *rs.Spec.Replicas
		case "v2":
			next = *rs.Spec.Replicas
		}
	}
	return old, next
}

// The first step of a rollout shows what maxSurge (rounded up) and maxUnavailable (rounded down) come to.
func TestHowFarTheFirstStepGoes(t *testing.T) {
	for _, tc := range []struct {
		replicas           int32
		surge, unavailable string
		old, next          int32
	}{
		{10, "25%", "25%", 8, 5},
		{4, "25%", "25%", 3, 2},
		{3, "25%", "25%", 3, 1},
		{1, "25%", "25%", 1, 1},
		{1, "0", "25%", 0, 1}, // both come to nothing: one may be unavailable
		{5, "0%", "10%", 4, 1},
		{5, "0", "100%", 0, 5},
		{5, "100%", "0", 5, 5},
		{5, "100%", "100%", 0, 5},
		{2, "0", "7", 0, 2}, // no more than there are
		{10, "1%", "0", 10, 1},
		{10, "0", "19%", 9, 1},
	} {
		t.Run(fmt.Sprintf("%d surge %s unavailable %s", tc.replicas, tc.surge, tc.unavailable), func(t *testing.T) {
			s := newSim(t, rolling)
			s.d.Spec.Replicas = &tc.replicas
			s.d.Spec.Strategy.RollingUpdate.MaxSurge = new(intstr.Parse(tc.surge))
			s.d.Spec.Strategy.RollingUpdate.MaxUnavailable = new(intstr.Parse(tc.unavailable))
			s.run()
			s.update(image("v2"))
			// The first decision about the deployment does what may be added, or else taken away; the next one the other.
			s.deployment()
			s.deployment()
			if old, next := s.sizes(); old != tc.old || next != tc.next {
				t.Errorf("old %d new %d, want %d and %d", old, next, tc.old, tc.next)
			}
			s.run()
		})
	}
}

func TestNoHistoryIsKeptWhenTheLimitIsZero(t *testing.T) {
	s := newSim(t, rolling)
	s.d.Spec.RevisionHistoryLimit = new(int32)
	s.run()
	s.update(image("v2"))
	s.settle()
	if old, _ := s.sizes(); old < 0 {
		t.Fatal("the old replica set is gone before its pods are")
	}
	s.run()
	s.settle()
	if len(s.sets) != 1 {
		t.Errorf("%d replica sets are left, want the new one:\n%s", len(s.sets), s)
	}
}

func TestScalingDownInMidRolloutIsProportional(t *testing.T) {
	s := newSim(t, rolling)
	s.update(scaleTo(10))
	s.d.Spec.Strategy.RollingUpdate.MaxSurge = new(intstr.FromInt32(3))
	s.d.Spec.Strategy.RollingUpdate.MaxUnavailable = new(intstr.FromInt32(2))
	s.run()
	s.update(image("v2"))
	s.settle() // 8 old, 5 new, of 13
	s.update(scaleTo(5))
	s.deployment()
	if old, next := s.sizes(); old != 5 || next != 3 { // of 8: 8*8/13 and 5*8/13
		t.Errorf("old %d new %d, want 5 and 3", old, next)
	}
	s.run()
}

func TestScalingToNothingInMidRollout(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	s.update(image("v2"))
	s.settle()
	s.update(scaleTo(0))
	s.settle()
	if old, next := s.sizes(); old != 0 || next != 0 {
		t.Errorf("old %d new %d, want none", old, next)
	}
}

func TestNewTemplateWhilePausedMakesNothing(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	s.update(func(spec *appsv1.DeploymentSpec) { spec.Paused = true; image("v2")(spec) })
	s.settle()
	if _, next := s.sizes(); next != -1 {
		t.Error("a replica set was made while paused")
	}
	if got := s.d.Status.ObservedGeneration; got != s.d.Generation {
		t.Errorf("observed %d of %d", got, s.d.Generation)
	}
	s.now = s.now.Add(time.Hour) // the deadline does not run meanwhile
	s.settle()
	s.want(`
revision 1: v1 want 4 have 4 available 4
Available=True MinimumReplicasAvailable
Progressing=Unknown DeploymentPaused`)
	s.update(func(spec *appsv1.DeploymentSpec) { spec.Paused = false })
	s.deployment()
	for _, c := range s.d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" {
			t.Error("the time it was paused counts")
		}
	}
	s.run()
}

func TestARolloutThatTimedOutIsRolledBack(t *testing.T) {
	s := newSim(t, strings.Replace(rolling, "600", "30", 1))
	s.run()
	s.update(image("v2"))
	s.settle()
	s.now = s.now.Add(31 * time.Second)
	s.settle()
	s.want(`
revision 1: v1 want 3 have 3 available 3
revision 2: v2 want 2 have 2 available 0
Available=True MinimumReplicasAvailable
Progressing=False ProgressDeadlineExceeded`)
	s.update(image("v1"))
	s.run()
	s.settle()
	s.want(`
revision 2: v2 want 0 have 0 available 0
revision 3: v1 want 4 have 4 available 4
Available=True MinimumReplicasAvailable
Progressing=True NewReplicaSetAvailable`)
}

func TestMinReadySecondsHoldsTheRolloutBack(t *testing.T) {
	s := newSim(t, rolling+"\nminReadySeconds: 20")
	s.settle()
	s.agent()
	s.now = s.now.Add(20 * time.Second)
	s.run()
	s.update(image("v2"))
	s.settle()
	s.agent() // the new ones are ready, and not yet available
	s.settle()
	if old, next := s.sizes(); old != 3 || next != 2 {
		t.Fatalf("old %d new %d, want 3 and 2", old, next)
	}
	s.now = s.now.Add(20 * time.Second)
	s.settle()
	if old, next := s.sizes(); old != 1 || next != 4 {
		t.Errorf("old %d new %d, want 1 and 4", old, next)
	}
}

func TestAnnotationsFollowTheDeployment(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	s.d.Annotations["kubernetes.io/change-cause"] = "second thoughts"
	s.d.Annotations[corev1.LastAppliedConfigAnnotation] = "{}"
	s.settle()
	rs := s.byImage("v1")
	if rs.Annotations["kubernetes.io/change-cause"] != "second thoughts" || rs.Annotations[corev1.LastAppliedConfigAnnotation] != "" {
		t.Errorf("annotations %v", rs.Annotations)
	}
	if rs.Annotations["deployment.kubernetes.io/revision"] != "1" {
		t.Error("an annotation made a revision")
	}
}

func TestOverlappingSelectorsLeaveWhatIsOthers(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	other := s.byImage("v1").DeepCopy()
	other.Name, other.UID = "other-1", "other-1"
	other.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "other", UID: "other", Controller: new(true)}}
	other.Spec.Replicas = new(int32(7))
	s.sets[other.Name] = other
	for range 5 {
		s.deployment()
	}
	if got := s.sets[other.Name]; *got.Spec.Replicas != 7 || got.OwnerReferences[0].UID != "other" {
		t.Errorf("another deployment's replica set was changed: %+v", got)
	}
	if s.d.Status.Replicas != 4 {
		t.Errorf("another deployment's pods are counted: %+v", s.d.Status)
	}
}

func TestTerminatingPodsAreCounted(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	s.update(scaleTo(1))
	s.settle()
	if got := s.d.Status.TerminatingReplicas; got == nil || *got != 3 {
		t.Errorf("terminating %v, want 3", got)
	}
	s.agent()
	s.settle()
	if got := s.d.Status.TerminatingReplicas; *got != 0 {
		t.Errorf("terminating %v, want 0", *got)
	}
}
