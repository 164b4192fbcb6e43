package placement_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/placement"
)

func TestWhoIsPreempted(t *testing.T) {
	// A pod is written "name priority cpu [started in minute] [flags]".
	began := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	bound := func(text string) placement.Bound {
		var name, cpu, flags string
		var priority int32
		var minute int
		if _, err := fmt.Sscan(text+" -", &name, &priority, &cpu, &minute, &flags); err != nil {
			t.Fatal(text, err)
		}
		p := labelled(t, "metadata: {labels: {app: "+strings.TrimRight(name, "0123456789")+"}}\nspec: {"+requests(cpu, "1Mi")+"}")
		return placement.Bound{
			NamespacedName: types.NamespacedName{Namespace: "default", Name: name}, Demand: placement.NewDemand(p),
			Priority: priority, Started: began.Add(time.Duration(minute) * time.Minute), Ending: flags == "ending",
		}
	}
	four := func(name string, change ...func(*corev1.Node)) *corev1.Node { return node(name, "4", "4Gi", change...) }
	budget := func(app string, allowed int32) placement.Budget {
		return placement.Budget{Namespace: "default", Selector: labels.SelectorFromSet(labels.Set{"app": app}), Allowed: allowed}
	}
	for _, tc := range []struct {
		name    string
		nodes   []*corev1.Node
		bound   map[string][]string
		budgets []placement.Budget
		pod     string // of priority 100; 2 cores by default
		want    string // "node: victims" or the explanation
	}{
		{name: "the lower one", bound: map[string][]string{"a": {"x 10 2 0", "y 100 2 0"}}, want: "a: x"},
		{
			name: "none is lower", bound: map[string][]string{"a": {"x 100 2 0", "y 200 2 0"}},
			want: "0/1 nodes are available: 1 No preemption victims found for incoming pod.",
		},
		{
			name: "no pod's end helps", nodes: []*corev1.Node{four("a", taint("only", "db", corev1.TaintEffectNoSchedule))}, bound: map[string][]string{"a": {"x 10 4 0"}},
			want: "0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
		},
		{
			name: "all lower ones are not enough", bound: map[string][]string{"a": {"x 10 1 0", "y 100 3 0"}},
			want: "0/1 nodes are available: 1 Insufficient cpu.",
		},
		{name: "no more than needed, the less important", bound: map[string][]string{"a": {"x 10 1 0", "y 20 1 0", "z 30 1 0", "w 30 1 1"}}, want: "a: y x"},
		{name: "the one that began last", bound: map[string][]string{"a": {"x 10 2 1", "y 10 2 2"}}, want: "a: y"},
		{
			name: "the node with the lower highest priority", nodes: []*corev1.Node{four("a"), four("b")},
			bound: map[string][]string{"a": {"x 50 4 0"}, "b": {"y 10 2 0", "z 20 2 0", "w 20 0 0"}}, want: "b: y",
		},
		{
			name: "the node with fewer victims", nodes: []*corev1.Node{four("a"), four("b")},
			bound: map[string][]string{"a": {"x 10 1 0", "y 10 1 0", "h 200 2 0"}, "b": {"z 10 2 0", "h 200 2 0"}}, want: "b: z",
		},
		{
			name: "the node whose victim began later", nodes: []*corev1.Node{four("a"), four("b")},
			bound: map[string][]string{"a": {"x 10 4 1"}, "b": {"z 10 4 2"}}, want: "b: z",
		},
		{
			name: "the node where no budget breaks", nodes: []*corev1.Node{four("a"), four("b")},
			bound: map[string][]string{"a": {"x 10 4 0"}, "b": {"y 90 4 0"}}, budgets: []placement.Budget{budget("x", 0), budget("y", 1)}, want: "b: y",
		},
		{
			name: "those that break a budget are let off first", bound: map[string][]string{"a": {"x 10 2 0", "y 20 2 0"}},
			budgets: []placement.Budget{budget("x", 0)}, want: "a: y",
		},
		{name: "a budget is broken when nothing else helps", bound: map[string][]string{"a": {"x 10 4 0"}}, budgets: []placement.Budget{budget("x", 0)}, want: "a: x"},
		{name: "what is ending anyway is enough", bound: map[string][]string{"a": {"x 90 2 0 ending", "y 10 2 0"}}, want: "a:"},
		{
			name: "one that keeps it away goes", nodes: []*corev1.Node{zoned("a", "1")},
			bound: map[string][]string{"a": {"db 10 1 0", "x 10 1 0"}}, pod: "spec: {" + avoidsDB + "}", want: "a: db",
		},
		{
			name: "one that it must be near does not go for it", nodes: []*corev1.Node{zoned("a", "1")}, bound: map[string][]string{"a": {"db 10 8 0"}},
			pod: "spec: {" + nearDB + ", " + requests("1", "1Mi") + "}", want: "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := placement.NewCluster()
			if tc.nodes == nil {
				tc.nodes = []*corev1.Node{four("a")}
			}
			for _, n := range tc.nodes {
				c.SetNode(n)
			}
			on := map[string][]placement.Bound{}
			for name, pods := range tc.bound {
				for _, text := range pods {
					b := bound(text)
					on[name] = append(on[name], b)
					c.Add(name, b.Demand)
				}
			}
			if tc.pod == "" {
				tc.pod = "spec: {" + requests("2", "1Mi") + "}"
			}
			d := placement.NewDemand(labelled(t, tc.pod))
			before := c.Explain(d)
			p, got := c.Preempt(d, 100, func(n string) []placement.Bound { return on[n] }, tc.budgets)
			if p != nil {
				got = p.Node + ":"
				for _, v := range p.Victims {
					got += " " + v.Name
				}
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if after := c.Explain(d); after != before {
				t.Errorf("the cluster is not as it was: %s, was %s", after, before)
			}
			if p == nil {
				return
			}
			for _, b := range on[p.Node] {
				if b.Ending || strings.Contains(got+" ", " "+b.Name+" ") {
					c.Remove(p.Node, b.Demand)
				}
			}
			if !c.Fits(p.Node, d) {
				t.Errorf("it does not fit: %s", c.Explain(d))
			}
		})
	}
}
