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
	"pgregory.net/rapid"
)

func (s *sim) want(state string) {
	s.t.Helper()
	if got := s.String(); got != strings.TrimSpace(state) {
		s.t.Fatalf("got\n%s\nwant\n%s", got, strings.TrimSpace(state))
	}
}

const rolling = `
replicas: 4
progressDeadlineSeconds: 600
revisionHistoryLimit: 10
strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}`

func TestFirstRollout(t *testing.T) {
	s := newSim(t, rolling)
	s.d.Annotations = map[string]string{"kubernetes.io/change-cause": "first", corev1.LastAppliedConfigAnnotation: "x"}
	s.settle()
	s.want(`
revision 1: v1 want 4 have 4 available 0
Available=False MinimumReplicasUnavailable
Progressing=True ReplicaSetUpdated`)
	rs := s.byImage("v1")
	hash := rs.Labels["pod-template-hash"]
	switch {
	case hash == "" || rs.Name != "web-"+hash || rs.Spec.Selector.MatchLabels["pod-template-hash"] != hash:
		t.Errorf("name %s, hash %s, selector %v", rs.Name, hash, rs.Spec.Selector.MatchLabels)
	case rs.Annotations["kubernetes.io/change-cause"] != "first" || rs.Annotations[corev1.LastAppliedConfigAnnotation] != "":
		t.Errorf("annotations %v", rs.Annotations)
	case rs.Annotations["deployment.kubernetes.io/desired-replicas"] != "4" || rs.Annotations["deployment.kubernetes.io/max-replicas"] != "5":
		t.Errorf("annotations %v", rs.Annotations)
	case s.d.Annotations["deployment.kubernetes.io/revision"] != "1":
		t.Errorf("annotations %v", s.d.Annotations)
	case !metav1.IsControlledBy(rs, s.d) || rs.UID == "" || rs.Generation != 1 || rs.CreationTimestamp.IsZero():
		t.Errorf("metadata %+v", rs.ObjectMeta)
	}
	for name, p := range s.pods {
		ref := metav1.GetControllerOf(p)
		if !strings.HasPrefix(name, rs.Name+"-") || ref.UID != rs.UID || !*ref.BlockOwnerDeletion || p.Labels["pod-template-hash"] != hash ||
			p.Status.QOSClass != corev1.PodQOSBestEffort || p.Status.Phase != corev1.PodPending {
			t.Errorf("pod %+v", p)
		}
	}
	s.run()
	s.want(`
revision 1: v1 want 4 have 4 available 4
Available=True MinimumReplicasAvailable
Progressing=True NewReplicaSetAvailable`)
	if got := fmt.Sprint(s.events[0]); got != "ScalingReplicaSet: Scaled up replica set "+rs.Name+" from 0 to 4" {
		t.Error(got)
	}
}

func TestRollingUpdateStepByStep(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	s.update(image("v2"))
	s.settle()
	s.want(`
revision 1: v1 want 3 have 3 available 3
revision 2: v2 want 2 have 2 available 0
Available=True MinimumReplicasAvailable
Progressing=True ReplicaSetUpdated`)
	s.agent()
	s.settle()
	s.want(`
revision 1: v1 want 1 have 1 available 1
revision 2: v2 want 4 have 4 available 2
Available=True MinimumReplicasAvailable
Progressing=True ReplicaSetUpdated`)
	s.run()
	s.want(`
revision 1: v1 want 0 have 0 available 0
revision 2: v2 want 4 have 4 available 4
Available=True MinimumReplicasAvailable
Progressing=True NewReplicaSetAvailable`)
}

func TestUndoRaisesTheOldRevision(t *testing.T) {
	s := newSim(t, rolling)
	for _, v := range []string{"v1", "v2", "v3", "v1", "v2", "v1"} {
		s.update(image(v))
		s.run()
	}
	s.want(`
revision 3: v3 want 0 have 0 available 0
revision 5: v2 want 0 have 0 available 0
revision 6: v1 want 4 have 4 available 4
Available=True MinimumReplicasAvailable
Progressing=True NewReplicaSetAvailable`)
	if got := s.byImage("v1").Annotations["deployment.kubernetes.io/revision-history"]; got != "1,4" {
		t.Errorf("history %q, want 1,4", got)
	}
	if got := s.d.Annotations["deployment.kubernetes.io/revision"]; got != "6" {
		t.Errorf("revision %s, want 6", got)
	}
}

func TestRevisionHistoryLimit(t *testing.T) {
	s := newSim(t, rolling)
	limit := int32(2)
	s.d.Spec.RevisionHistoryLimit = &limit
	for i := range 6 {
		s.update(image(fmt.Sprint("v", i+1)))
		s.run()
	}
	s.want(`
revision 4: v4 want 0 have 0 available 0
revision 5: v5 want 0 have 0 available 0
revision 6: v6 want 4 have 4 available 4
Available=True MinimumReplicasAvailable
Progressing=True NewReplicaSetAvailable`)
}

func TestRecreateStopsOldPodsFirst(t *testing.T) {
	s := newSim(t, "replicas: 2\nprogressDeadlineSeconds: 600\nstrategy: {type: Recreate}")
	s.run()
	s.update(image("v2"))
	s.settle()
	s.want(`
revision 1: v1 want 0 have 0 available 0
Available=False MinimumReplicasUnavailable
Progressing=True NewReplicaSetAvailable`) // of the last rollout: the new one has not begun
	if len(s.pods) != 2 {
		t.Fatalf("%d pods, want the 2 old ones that are stopping", len(s.pods))
	}
	s.agent() // the old are gone
	s.settle()
	for _, p := range s.pods {
		if p.Spec.Containers[0].Image != "v2" {
			t.Errorf("%s runs %s", p.Name, p.Spec.Containers[0].Image)
		}
	}
	s.run()
}

func TestPausedScalesButDoesNotRoll(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	s.update(func(spec *appsv1.DeploymentSpec) { spec.Paused = true; image("v2")(spec); scaleTo(6)(spec) })
	s.settle()
	s.agent()
	s.settle()
	s.want(`
revision 1: v1 want 6 have 6 available 6
Available=True MinimumReplicasAvailable
Progressing=Unknown DeploymentPaused`)
	s.update(func(spec *appsv1.DeploymentSpec) { spec.Paused = false })
	s.run()
	s.want(`
revision 1: v1 want 0 have 0 available 0
revision 2: v2 want 6 have 6 available 6
Available=True MinimumReplicasAvailable
Progressing=True NewReplicaSetAvailable`)
}

func TestScalingInMidRolloutIsProportional(t *testing.T) {
	s := newSim(t, rolling)
	s.update(scaleTo(10))
	s.d.Spec.Strategy.RollingUpdate.MaxSurge = new(intstr.FromInt32(3))
	s.d.Spec.Strategy.RollingUpdate.MaxUnavailable = new(intstr.FromInt32(2))
	s.run()
	s.update(image("v2"))
	s.settle() // 8 old, 5 new, which never become ready
	s.update(scaleTo(15))
	s.settle()
	s.want(`
revision 1: v1 want 11 have 11 available 8
revision 2: v2 want 7 have 7 available 0
Available=False MinimumReplicasUnavailable
Progressing=True ReplicaSetUpdated`)
	s.run()
}

func TestProgressDeadline(t *testing.T) {
	s := newSim(t, strings.Replace(rolling, "600", "30", 1))
	s.settle()
	s.now = s.now.Add(20 * time.Second)
	s.deployment()
	if want := s.now.Add(10 * time.Second); !s.due.Equal(want) {
		t.Fatalf("due %v, want %v", s.due, want)
	}
	s.now = s.due
	s.settle()
	s.want(`
revision 1: v1 want 4 have 4 available 0
Available=False MinimumReplicasUnavailable
Progressing=False ProgressDeadlineExceeded`)
	if !s.due.IsZero() {
		t.Error("still waits for the deadline")
	}
	s.run() // late, but it comes
	s.want(`
revision 1: v1 want 4 have 4 available 4
Available=True MinimumReplicasAvailable
Progressing=True NewReplicaSetAvailable`)
}

func TestMinReadySeconds(t *testing.T) {
	s := newSim(t, rolling+"\nminReadySeconds: 20")
	s.settle()
	s.agent()
	s.replicaSets()
	if rs := s.byImage("v1"); rs.Status.ReadyReplicas != 4 || rs.Status.AvailableReplicas != 0 {
		t.Fatalf("ready %d, available %d, want 4 and 0", rs.Status.ReadyReplicas, rs.Status.AvailableReplicas)
	}
	if want := s.now.Add(20 * time.Second); !s.due.Equal(want) {
		t.Fatalf("due %v, want %v", s.due, want)
	}
	s.now = s.due
	s.run()
}

func TestNameCollision(t *testing.T) {
	s := newSim(t, rolling)
	s.settle()
	other := s.byImage("v1").DeepCopy() // not ours: the same name, and labels that do not match
	other.OwnerReferences, other.Labels, other.Annotations = nil, nil, nil
	s = newSim(t, rolling)
	s.sets[other.Name] = other
	s.run2(other.Name)
	if s.d.Status.CollisionCount == nil || *s.d.Status.CollisionCount != 1 {
		t.Errorf("collisions %v, want 1", s.d.Status.CollisionCount)
	}
}

// run2 is run with a replica set that is left alone.
func (s *sim) run2(foreign string) {
	s.t.Helper()
	rs := s.sets[foreign]
	for range 50 {
		s.deployment()
		delete(s.sets, foreign)
		s.replicaSets()
		s.agent()
		s.sets[foreign] = rs
		if s.complete() {
			return
		}
	}
	s.t.Fatalf("the rollout does not end:\n%s", s)
}

func TestAdoptionAndRelease(t *testing.T) {
	s := newSim(t, rolling)
	s.run()
	rs := s.byImage("v1").DeepCopy()
	rs.OwnerReferences = nil
	s.sets[rs.Name] = rs
	s.settle()
	if len(s.sets) != 1 || !metav1.IsControlledBy(s.sets[rs.Name], s.d) {
		t.Fatal("the orphan was not adopted")
	}
	rs = s.sets[rs.Name].DeepCopy()
	rs.Labels = map[string]string{"app": "other"}
	s.sets[rs.Name] = rs
	s.deployment()
	if metav1.GetControllerOf(s.sets[rs.Name]) != nil {
		t.Fatal("what no longer matches was not released")
	}
}

// In any rolling update, with pods becoming ready, dying and going in any order and the size changing in between, there
// are never more pods than replicas + maxSurge and, once it was so, never fewer available than replicas - maxUnavailable
// but for pods that died; and it ends.
func TestRollingUpdateKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSim(t, rolling)
		percent := func(name string) *intstr.IntOrString {
			if rapid.Bool().Draw(rt, name+" in percent") {
				return new(intstr.FromString(fmt.Sprint(rapid.IntRange(0, 100).Draw(rt, name), "%")))
			}
			return new(intstr.FromInt(rapid.IntRange(0, 5).Draw(rt, name)))
		}
		n := rapid.Int32Range(1, 12).Draw(rt, "replicas")
		s.d.Spec.Replicas = &n
		s.d.Spec.Strategy.RollingUpdate.MaxSurge = percent("surge")
		s.d.Spec.Strategy.RollingUpdate.MaxUnavailable = percent("unavailable")
		s.run()
		surge, _ := intstr.GetScaledValueFromIntOrPercent(s.d.Spec.Strategy.RollingUpdate.MaxSurge, int(n), true)
		unavailable, _ := intstr.GetScaledValueFromIntOrPercent(s.d.Spec.Strategy.RollingUpdate.MaxUnavailable, int(n), false)
		if surge == 0 && unavailable == 0 {
			unavailable = 1
		}
		died := 0
		s.stopped = func(s *sim) {
			pods, available := 0, 0
			for _, p := range s.pods {
				if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed {
					continue
				}
				pods++
				if len(p.Status.Conditions) > 0 {
					available++
				}
			}
			if pods > int(n)+surge {
				rt.Fatalf("%d pods of %d+%d:\n%s", pods, n, surge, s)
			}
			if available < int(n)-unavailable-died {
				rt.Fatalf("%d available of %d-%d, %d died:\n%s", available, n, unavailable, died, s)
			}
		}
		for i := range rapid.IntRange(1, 3).Draw(rt, "rollouts") {
			s.update(image(fmt.Sprint("v", i+2)))
			for range rapid.IntRange(0, 30).Draw(rt, "steps") {
				names := s.podNames()
				if len(names) == 0 {
					s.settle()
					continue
				}
				name := names[rapid.IntRange(0, len(names)-1).Draw(rt, "pod")]
				p := s.pods[name]
				switch what := rapid.IntRange(0, 9).Draw(rt, "what"); {
				case p.DeletionTimestamp != nil:
					delete(s.pods, name)
				case p.Status.Phase == corev1.PodPending:
					s.ready(name)
				case what == 0 && p.Status.Phase == corev1.PodRunning:
					p = p.DeepCopy()
					p.Status.Phase = corev1.PodFailed
					p.Status.Conditions = nil
					s.pods[name] = p
					died++
				}
				if rapid.Bool().Draw(rt, "replica sets") {
					s.replicaSets()
				}
				if rapid.Bool().Draw(rt, "deployment") {
					s.replicaSets()
					s.deployment()
				}
			}
		}
		s.run()
	})
}
