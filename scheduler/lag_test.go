package scheduler_test

import (
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

var first = store.Key{Resource: pods, Namespace: "default", Name: "first"}

func annotate(c *cluster) {
	edit(c, first, func(p *corev1.Pod) bool { metav1.SetMetaDataAnnotation(&p.ObjectMeta, "by", "another"); return true })
}

// TestAPodIsBoundOnce has a pod written by somebody while the round runs that would bind it.
func TestAPodIsBoundOnce(t *testing.T) {
	for name, test := range map[string]struct {
		write func(*cluster)
		bound int // times
		node  string
	}{
		"annotated": {annotate, 1, "a"},
		"bound": {func(c *cluster) {
			edit(c, first, func(p *corev1.Pod) bool { p.Spec.NodeName = "b"; return true })
		}, 0, "b"},
		"deleted": {func(c *cluster) {
			edit(c, first, func(p *corev1.Pod) bool {
				p.DeletionTimestamp, p.Finalizers = new(metav1.NewTime(c.clock.Now())), []string{"example.com/hold"}
				return true
			})
		}, 0, ""},
		"replaced by a greater one": {func(c *cluster) {
			edit(c, first, func(*corev1.Pod) bool { return false })
			c.create(pods, important("first", 0, "3"))
		}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.addNode("a", "2")
			c.create(pods, important("first", 0, "1"))
			write := test.write
			c.scheduleAgainst(func() {
				if write != nil {
					write(c)
				}
				write = nil
			})
			c.until("a commit", func(s *store.Snapshot) bool { return s.Count("serviceaccounts", "") == 2 })
			c.create(pods, important("second", 0, "1")) // what is queued before it is placed with it at the latest
			snap := c.until("the second pod to be bound", func(s *store.Snapshot) bool { return podOf(s, "second").Spec.NodeName != "" })
			bound := 0
			for _, e := range list[*corev1.Event](snap, events, "default") {
				if e.Reason == "Scheduled" && e.InvolvedObject.Name == "first" {
					bound += int(e.Count)
				}
			}
			if got := podOf(snap, "first").Spec.NodeName; got != test.node || bound != test.bound {
				t.Errorf("bound %d times and on %q, want %d times and %q", bound, got, test.bound, test.node)
			}
		})
	}
}

// TestADeletedPodHoldsNoRoom has a pod written by somebody while the round runs that deletes it, because its node is lost.
func TestADeletedPodHoldsNoRoom(t *testing.T) {
	c := newCluster(t)
	pod := important("first", 0, "1")
	pod.Spec.NodeName = "a"
	c.create(pods, pod)
	var writes atomic.Int32
	c.scheduleAgainst(func() {
		if writes.Add(-1) >= 0 {
			annotate(c)
		}
	})
	c.until("a commit", func(s *store.Snapshot) bool { return s.Count("serviceaccounts", "") == 2 })
	writes.Store(3) // a round may be under way
	c.clock.Step(controller.NodeQuarantine)
	c.until("the pod to go", func(s *store.Snapshot) bool { return podOf(s, "first") == nil })
	c.addNode("a", "1")
	c.create(pods, important("second", 0, "1"))
	snap := c.until("the second pod to be looked at", func(s *store.Snapshot) bool {
		return conditionOf(podOf(s, "second"), corev1.PodScheduled).Status != ""
	})
	if got := conditionOf(podOf(snap, "second"), corev1.PodScheduled); got.Status != corev1.ConditionTrue {
		t.Errorf("the room of a pod that is gone is not used: %s", got.Message)
	}
}

// TestAnObjectKeepsItsNewOwner has somebody give an object whose owner is gone another one, while the round runs that would delete it.
func TestAnObjectKeepsItsNewOwner(t *testing.T) {
	c := newCluster(t)
	owned := func(name string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, OwnerReferences: owners}}
	}
	by := func(name string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: uid}
	}
	child, parent := owned("child", by("gone", "gone")), owned("parent")
	c.create("configmaps", child)
	met := false
	c.scheduleAgainst(func() {
		if met {
			return
		}
		met = true
		c.create("configmaps", parent)
		edit(c, key("configmaps", child), func(m *corev1.ConfigMap) bool {
			m.OwnerReferences = []metav1.OwnerReference{by(parent.Name, parent.UID)}
			return true
		})
	})
	snap := c.until("a commit", func(s *store.Snapshot) bool { return s.Count("serviceaccounts", "") == 2 })
	if _, ok := snap.Get(key("configmaps", child)); !ok {
		t.Fatal("it was deleted, though it has an owner that is there")
	}
	edit(c, key("configmaps", parent), func(*corev1.ConfigMap) bool { return false })
	c.until("it to go with its new owner", func(s *store.Snapshot) bool { _, ok := s.Get(key("configmaps", child)); return !ok })
}
