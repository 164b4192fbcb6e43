package agent

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// TestTheStoredStatusIsKeptWhereOthersWriteIt has others write after the agent saw the pod.
func TestTheStoredStatusIsKeptWhereOthersWriteIt(t *testing.T) {
	const gate, gone = "example.com/gate", "example.com/gone"
	kubelet, api := corev1.PodReasonTerminationByKubelet, "EvictionByEvictionAPI"
	with := func(c ...corev1.PodCondition) corev1.PodStatus { return corev1.PodStatus{Conditions: c} }
	of := func(kind corev1.PodConditionType, reason string) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason}
	}
	for name, test := range map[string]struct{ stored, said, want corev1.PodStatus }{
		"the agent's": {with(of(corev1.PodReady, "old")), with(of(corev1.PodReady, "new"), of(corev1.PodInitialized, "")),
			with(of(corev1.PodReady, "new"), of(corev1.PodInitialized, ""))},
		"a gate that was opened":         {with(of(gate, "new")), with(of(gate, "old")), with(of(gate, "new"))},
		"a gate that was made":           {with(of(gate, "")), with(), with(of(gate, ""))},
		"a condition that was removed":   {with(), with(of(gone, "")), with()},
		"disrupted by the agent":         {with(), with(of(corev1.DisruptionTarget, kubelet)), with(of(corev1.DisruptionTarget, kubelet))},
		"disrupted by others":            {with(of(corev1.DisruptionTarget, api)), with(), with(of(corev1.DisruptionTarget, api))},
		"disrupted by both":              {with(of(corev1.DisruptionTarget, api)), with(of(corev1.DisruptionTarget, kubelet)), with(of(corev1.DisruptionTarget, kubelet))},
		"scheduled":                      {with(of(corev1.PodScheduled, "new")), with(of(corev1.PodScheduled, "old")), with(of(corev1.PodScheduled, "new"))},
		"bound by its maker":             {with(), with(of(corev1.PodScheduled, "")), with(of(corev1.PodScheduled, ""))},
		"the class":                      {corev1.PodStatus{QOSClass: corev1.PodQOSBurstable}, corev1.PodStatus{}, corev1.PodStatus{QOSClass: corev1.PodQOSBurstable}},
		"nominated no more":              {corev1.PodStatus{}, corev1.PodStatus{NominatedNodeName: "n1"}, corev1.PodStatus{}},
		"what runs":                      {corev1.PodStatus{}, corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"}, corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"}},
		"what ended stays so":            {corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Gone"}, corev1.PodStatus{Phase: corev1.PodRunning}, corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Gone"}},
		"what runs has no reason to end": {corev1.PodStatus{Reason: "Evicted"}, corev1.PodStatus{Phase: corev1.PodRunning}, corev1.PodStatus{Phase: corev1.PodRunning}},
	} {
		t.Run(name, func(t *testing.T) {
			before := fmt.Sprint(test.stored)
			up := PodStatus{Status: test.said}
			if got := up.Onto(&test.stored); !equality.Semantic.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			if fmt.Sprint(test.stored) != before {
				t.Error("the stored status is shared and was changed")
			}
		})
	}
}
