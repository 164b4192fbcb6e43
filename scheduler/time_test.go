package scheduler_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/store"
)

const lifetime = 56 * 365 * 24 * time.Hour

// settled returns when the scheduler has done all that was due: it makes another deployment of one pod.
func (c *cluster) settled() {
	c.t.Helper()
	c.uids++
	name := fmt.Sprint("marker-", c.uids)
	c.create(deployments, deployment("default", name, 1, "1m"))
	c.rolledOut("default", name)
}

// TestEventsLiveAsLongWhateverTheClocks has nodes tell of something whose clocks are wrong, and one lead whose clock is.
func TestEventsLiveAsLongWhateverTheClocks(t *testing.T) {
	for name, behind := range map[string]time.Duration{"the leader's clock is right": 0, "the leader is in 1970": lifetime, "the leader is ahead": -lifetime} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.behind.Store(int64(behind))
			c.schedule()
			c.agent()
			c.addNode("a", "64")
			now := c.now()
			for teller, told := range map[string]time.Time{"right": now, "in-1970": time.Unix(60, 0), "ahead": now.Add(lifetime)} {
				ev := &corev1.Event{
					ObjectMeta: metav1.ObjectMeta{
						Namespace: "default", Name: teller, UID: types.UID(teller), CreationTimestamp: metav1.NewTime(now).Rfc3339Copy(),
					},
					Reason: "Told", FirstTimestamp: metav1.NewTime(told), LastTimestamp: metav1.NewTime(told), Count: 1,
				}
				if _, err := c.Update(c.ctx, func(tx *store.Tx) error { tx.Create(key(events, ev), ev); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			told := func(snap *store.Snapshot) (names []string) {
				for _, e := range list[*corev1.Event](snap, events, "default") {
					if e.Reason == "Told" {
						names = append(names, e.Name)
					}
				}
				return names
			}
			for _, step := range []time.Duration{0, 59 * time.Minute} {
				c.clock.Step(step)
				c.settled()
				if got := told(c.Snapshot()); !slices.Equal(got, []string{"ahead", "in-1970", "right"}) {
					t.Fatalf("after %v there are %v", step, got)
				}
			}
			c.clock.Step(7 * time.Minute)
			c.until("the events to go", func(s *store.Snapshot) bool { return len(told(s)) == 0 })
		})
	}
}

// TestNothingIsHurriedWhenTheTimeIsSet has a leader that was in 1970 learn the time while one pod may stay on its node for a while, and the node
// of another is gone.
func TestNothingIsHurriedWhenTheTimeIsSet(t *testing.T) {
	c := newCluster(t)
	c.schedule()
	c.agent()
	for _, name := range []string{"a", "b"} {
		c.addNode(name, "1")
		pod := important("on-"+name, 0, "1")
		pod.Spec.Tolerations = []corev1.Toleration{{Key: "broken", Operator: corev1.TolerationOpExists, TolerationSeconds: new(int64(40))}}
		c.create(pods, pod)
		c.until(pod.Name+" to run", func(s *store.Snapshot) bool { return podOf(s, pod.Name).Status.Phase == corev1.PodRunning })
	}
	c.addNode("c", "1") // for what settled makes
	edit(c, store.Key{Resource: nodes, Name: "a"}, func(n *corev1.Node) bool {
		n.Spec.Taints = []corev1.Taint{{Key: "broken", Effect: corev1.TaintEffectNoExecute}}
		return true
	})
	edit(c, store.Key{Resource: nodes, Name: "b"}, func(*corev1.Node) bool { return false })
	c.settled()
	c.behind.Store(int64(lifetime))
	for _, step := range []time.Duration{0, 39 * time.Second} {
		c.clock.Step(step)
		for _, name := range []string{"on-a", "on-b"} { // so that it is looked at
			edit(c, store.Key{Resource: pods, Namespace: "default", Name: name}, func(p *corev1.Pod) bool {
				p.Annotations = map[string]string{"step": step.String()}
				return true
			})
		}
		c.settled()
		for _, name := range []string{"on-a", "on-b"} {
			if podOf(c.Snapshot(), name) == nil {
				t.Fatalf("%s is gone after %v", name, step)
			}
		}
	}
	c.clock.Step(2 * time.Second)
	c.until("both to go", func(s *store.Snapshot) bool { return podOf(s, "on-a") == nil && podOf(s, "on-b") == nil })
}
