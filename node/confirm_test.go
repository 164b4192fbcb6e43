package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

func TestTheFirstAnswerCounts(t *testing.T) {
	after := func(d time.Duration, answer string) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return "", ctx.Err()
			}
			if answer == "" {
				return "", errors.New("not the leader")
			}
			return answer, nil
		}
	}
	type asks = []func(context.Context) (string, error)
	for _, test := range []struct {
		name  string
		asks  asks
		want  string
		takes time.Duration
	}{
		{"the own one is in time", asks{after(900*time.Millisecond, "own"), after(0, "other")}, "own", 900 * time.Millisecond},
		{"the own one is late", asks{after(time.Hour, "own"), after(time.Second, ""), after(2*time.Second, "other")}, "other", 3 * time.Second},
		{"the own one fails", asks{after(10*time.Millisecond, ""), after(time.Second, "other")}, "other", 1010 * time.Millisecond},
		{"all fail", asks{after(10*time.Millisecond, ""), after(time.Second, ""), after(time.Second, "")}, "", 1010 * time.Millisecond},
		{"alone", asks{after(2*time.Second, "own")}, "own", 2 * time.Second},
		{"nobody answers", asks{after(time.Hour, "own"), after(time.Hour, "other")}, "", 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			got, err := first(ctx, time.Second, test.asks)
			if took := time.Since(began); got != test.want || (err == nil) != (test.want != "") || took != test.takes {
				t.Errorf("%s: %q, %v after %v", test.name, got, err, took)
			}
		})
	}
}

// TestANodeOfWhichPodsAreTakenMayRunNone of those that run at most once, also where it has just said that it is well.
func TestANodeOfWhichPodsAreTakenMayRunNone(t *testing.T) {
	st := runningStore(t)
	n := &node{store: st}
	well, taken, lost := nodeOf("a", "1"), nodeOf("b", "2"), nodeOf("c", "3")
	for _, node := range []*corev1.Node{well, taken} {
		node.Status = nodeSaying(corev1.ConditionTrue, "KubeletReady").Status
	}
	taken.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}}
	lost.Status = nodeSaying(corev1.ConditionUnknown, unknownReason).Status
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
		for _, node := range []*corev1.Node{well, taken, lost} {
			tx.Create(store.Key{Resource: "nodes", Name: node.Name}, node)
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: node.Name, UID: types.UID("of-" + node.Name), Annotations: map[string]string{agent.AtMostOne: "true"}}}
			pod.Spec.NodeName = node.Name
			tx.Create(store.Key{Resource: "pods", Namespace: "default", Name: node.Name}, pod)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if uids, err := n.AtMostOnce(t.Context(), "1"); err != nil || !slices.Equal(uids, []string{"of-a"}) {
		t.Errorf("a node that is well may run %v: %v", uids, err)
	}
	for _, id := range []string{"2", "3", "4"} {
		if uids, err := n.AtMostOnce(t.Context(), id); !errors.Is(err, errLost) {
			t.Errorf("node %s may run %v: %v", id, uids, err)
		}
	}
}
