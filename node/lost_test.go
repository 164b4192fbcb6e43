package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeSaying is a node with a Ready condition and taints such as "a/NoExecute".
func nodeSaying(status corev1.ConditionStatus, reason string, taints ...string) *corev1.Node {
	node := &corev1.Node{}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Reason: reason}}
	for _, text := range taints {
		i := strings.LastIndex(text, "/")
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: text[:i], Effect: corev1.TaintEffect(text[i+1:])})
	}
	return node
}

func TestANodeSaysWhetherItIsAlive(t *testing.T) {
	const unreachable, notReady = corev1.TaintNodeUnreachable, corev1.TaintNodeNotReady
	for _, test := range []struct {
		name         string
		node         *corev1.Node
		alive        bool
		status       corev1.ConditionStatus
		taints       string
		staysAsItWas bool
	}{
		{name: "alive", node: nodeSaying("True", "KubeletReady", "mine/NoSchedule"), alive: true, status: "True", taints: "mine/NoSchedule", staysAsItWas: true},
		{name: "lost", node: nodeSaying("True", "KubeletReady", "mine/NoSchedule"), status: "Unknown",
			taints: "mine/NoSchedule " + unreachable + "/NoSchedule " + unreachable + "/NoExecute"},
		{name: "still lost", node: nodeSaying("Unknown", unknownReason, unreachable+"/NoSchedule", unreachable+"/NoExecute"), status: "Unknown",
			taints: unreachable + "/NoSchedule " + unreachable + "/NoExecute", staysAsItWas: true},
		{name: "back", node: nodeSaying("Unknown", unknownReason, unreachable+"/NoSchedule", "mine/NoExecute", unreachable+"/NoExecute"), alive: true,
			status: "True", taints: "mine/NoExecute"},
		{name: "alive and not ready", node: nodeSaying("False", "Broken"), alive: true, status: "False",
			taints: notReady + "/NoSchedule " + notReady + "/NoExecute"},
		{name: "not ready, then lost", node: nodeSaying("False", "Broken", notReady+"/NoSchedule", notReady+"/NoExecute"), status: "Unknown",
			taints: unreachable + "/NoSchedule " + unreachable + "/NoExecute"},
		{name: "it came back by itself", node: nodeSaying("True", "KubeletReady", unreachable+"/NoSchedule", unreachable+"/NoExecute"), alive: true, status: "True"},
	} {
		now := metav1.Unix(1e9, 0)
		is := withTaints(withLiveness(test.node, test.alive, now), now)
		var taints []string
		for _, taint := range is.Spec.Taints {
			taints = append(taints, fmt.Sprintf("%s/%s", taint.Key, taint.Effect))
		}
		if got := is.Status.Conditions[0].Status; got != test.status || !slices.Equal(taints, strings.Fields(test.taints)) {
			t.Errorf("%s: Ready=%s, taints %v", test.name, got, taints)
		}
		if (is == test.node) != test.staysAsItWas {
			t.Errorf("%s: stays as it was: %v", test.name, is == test.node)
		}
	}
}

func TestALostNodeIsTold(t *testing.T) {
	ready := nodeSaying("True", "KubeletReady")
	lost := nodeSaying("Unknown", unknownReason, corev1.TaintNodeUnreachable+"/NoSchedule", corev1.TaintNodeUnreachable+"/NoExecute")
	readyAgain := nodeSaying("True", "KubeletReady", corev1.TaintNodeUnreachable+"/NoSchedule", corev1.TaintNodeUnreachable+"/NoExecute")
	for _, test := range []struct {
		was, is *corev1.Node
		want    string
	}{
		{ready, ready, ""}, {lost, lost, ""}, {ready, lost, "NodeNotReady"}, {lost, ready, "NodeReady"},
		{lost, readyAgain, ""}, {readyAgain, ready, "NodeReady"},
	} {
		got := ""
		if event := lostEvent(test.was, test.is, time.Unix(1e9, 5)); event != nil {
			got = event.Reason
		}
		if got != test.want {
			t.Errorf("%v, %v, then %v, %v: %q, want %q", test.was.Status.Conditions, test.was.Spec.Taints, test.is.Status.Conditions, test.is.Spec.Taints, got, test.want)
		}
	}
}

// TestAWitnessBecomesAServer, whose pods nothing keeps away any more.
func TestAWitnessBecomesAServer(t *testing.T) {
	for role, same := range map[string]bool{RoleWitness: true, RoleServer: false, "": true} {
		node := nodeSaying("True", "KubeletReady", witnessLabel+"/NoSchedule", "mine/NoSchedule")
		node.Labels, node.Annotations = map[string]string{witnessLabel: "", "mine": ""}, map[string]string{roleAnnotation: role}
		is := withRole(node)
		if (is == node) != same {
			t.Errorf("%q: stays as it was: %v", role, is == node)
		}
		if !same && (len(is.Labels) != 1 || len(is.Spec.Taints) != 1 || is.Spec.Taints[0].Key != "mine") {
			t.Errorf("%q: labels %v, taints %v", role, is.Labels, is.Spec.Taints)
		}
	}
}

func TestALostNodeIsAskedSeveralTimes(t *testing.T) {
	silence := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, test := range []struct {
		name  string
		pings []func(context.Context) error // one after the other, the last again and again
		want  bool
		takes time.Duration
	}{
		{"it answers", []func(context.Context) error{func(context.Context) error { return nil }}, true, 0},
		{"no covey runs", []func(context.Context) error{func(context.Context) error { return fmt.Errorf("dial: %w", syscall.ECONNREFUSED) }}, false, 0},
		{"silence", []func(context.Context) error{silence}, false, checkTime},
		{"the third is answered", []func(context.Context) error{silence, func(context.Context) error { return errors.New("reset") }, func(context.Context) error { return nil }}, true, 2 * checkInterval},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var count atomic.Int32
			got := answers(t.Context(), func(ctx context.Context) error {
				return test.pings[min(int(count.Add(1)), len(test.pings))-1](ctx)
			})
			if took := time.Since(began); got != test.want || took != test.takes {
				t.Errorf("%s: %v after %v", test.name, got, took)
			}
		})
	}
}
