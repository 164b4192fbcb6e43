package placement_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/scheduler/placement"
)

func node(name, cpu, memory string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		corev1.ResourcePods: resource.MustParse("110"),
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, f := range change {
		f(n)
	}
	return n
}

func taint(key, value string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Value: value, Effect: effect})
	}
}

func label(k, v string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels = map[string]string{k: v} }
}

// pod is a pod spec as its user would write it.
func pod(t testing.TB, spec string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func requests(cpu, memory string) string {
	return fmt.Sprintf("containers: [{name: c, resources: {requests: {cpu: %q, memory: %q}}}]", cpu, memory)
}

func TestPlaceOrExplain(t *testing.T) {
	notReady := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
	cordon := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	for _, tc := range []struct {
		name  string
		nodes []*corev1.Node
		bound map[string]string // node to the spec of a pod on it
		pod   string
		want  string // a node, or the explanation
	}{
		{name: "an empty cluster", pod: requests("1", "1Gi"), want: "no nodes available to schedule pods"},
		{name: "fits", nodes: []*corev1.Node{node("a", "2", "2Gi")}, pod: requests("2", "2Gi"), want: "a"},
		{
			name: "one node, too little CPU", nodes: []*corev1.Node{node("a", "2", "2Gi")}, pod: requests("3", "1Gi"),
			want: "0/1 nodes are available: 1 Insufficient cpu.",
		},
		{
			name: "more than 64 bits hold", nodes: []*corev1.Node{node("a", "2", "2Gi")}, pod: requests("9227P", "9227000000000000000"),
			want: "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
		},
		{
			name: "more than a node that is overfull by a pod that named it", nodes: []*corev1.Node{node("a", "2", "2Gi")},
			bound: map[string]string{"a": requests("9E", "9E")}, pod: requests("9E", "9E"),
			want: "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
		},
		{
			name:  "each node for its reason, sorted",
			nodes: []*corev1.Node{node("a", "1", "1Gi"), node("b", "8", "1Gi"), node("c", "8", "8Gi", cordon), node("d", "8", "8Gi", notReady)},
			pod:   requests("2", "2Gi"),
			want: "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), " +
				"1 node(s) were unschedulable, 2 Insufficient memory.",
		},
		{
			name: "what is bound counts", nodes: []*corev1.Node{node("a", "2", "2Gi")}, bound: map[string]string{"a": requests("1500m", "1Gi")},
			pod: requests("1", "1Gi"), want: "0/1 nodes are available: 1 Insufficient cpu.",
		},
		{
			name: "a pod that asks for nothing fits on a full node", nodes: []*corev1.Node{node("a", "1", "1Gi")},
			bound: map[string]string{"a": requests("1", "1Gi")}, pod: "containers: [{name: c}]", want: "a",
		},
		{
			name: "the largest init container counts", nodes: []*corev1.Node{node("a", "2", "2Gi")},
			pod:  "initContainers: [{name: i, resources: {requests: {cpu: 3}}}]\ncontainers: [{name: c}]",
			want: "0/1 nodes are available: 1 Insufficient cpu.",
		},
		{
			name: "node selector", nodes: []*corev1.Node{node("a", "2", "2Gi"), node("b", "2", "2Gi", label("disk", "ssd"))},
			pod: "nodeSelector: {disk: ssd}", want: "b",
		},
		{
			name: "node selector that nothing matches", nodes: []*corev1.Node{node("a", "2", "2Gi")},
			pod: "nodeSelector: {disk: ssd}", want: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
		},
		{
			name: "required affinity", nodes: []*corev1.Node{node("a", "2", "2Gi", label("gpu", "3")), node("b", "2", "2Gi", label("gpu", "5"))},
			pod: "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: " +
				"[{matchExpressions: [{key: gpu, operator: Gt, values: ['4']}]}]}}}", want: "b",
		},
		{
			name: "preferred affinity", nodes: []*corev1.Node{node("a", "2", "2Gi"), node("b", "1", "1Gi", label("zone", "z"))},
			pod: "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, preference: " +
				"{matchExpressions: [{key: zone, operator: Exists}]}}]}}", want: "b",
		},
		{
			name: "taint", nodes: []*corev1.Node{node("a", "2", "2Gi", taint("only", "db", corev1.TaintEffectNoSchedule))},
			pod: "{}", want: "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
		},
		{
			name: "toleration", nodes: []*corev1.Node{node("a", "2", "2Gi", taint("only", "db", corev1.TaintEffectNoExecute))},
			pod: "tolerations: [{key: only, operator: Exists}]", want: "a",
		},
		{
			name: "PreferNoSchedule gives way", nodes: []*corev1.Node{node("a", "8", "8Gi", taint("slow", "", corev1.TaintEffectPreferNoSchedule)), node("b", "2", "2Gi")},
			pod: "{}", want: "b",
		},
		{
			name: "host port taken", nodes: []*corev1.Node{node("a", "2", "2Gi")},
			bound: map[string]string{"a": "containers: [{name: c, ports: [{hostPort: 80, hostIP: 127.0.0.1}]}]"},
			pod:   "containers: [{name: c, ports: [{hostPort: 80}]}]",
			want:  "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
		},
		{
			name: "host port free", nodes: []*corev1.Node{node("a", "2", "2Gi")},
			bound: map[string]string{"a": "containers: [{name: c, ports: [{hostPort: 80, protocol: UDP}]}]"},
			pod:   "containers: [{name: c, ports: [{hostPort: 80}]}]", want: "a",
		},
		{
			name: "extended resource", nodes: []*corev1.Node{node("a", "2", "2Gi")},
			pod:  "containers: [{name: c, resources: {requests: {example.com/tpu: 1}, limits: {example.com/tpu: 1}}}]",
			want: "0/1 nodes are available: 1 Insufficient example.com/tpu.",
		},
		{
			name: "the freer node", nodes: []*corev1.Node{node("a", "4", "4Gi"), node("b", "4", "4Gi")},
			bound: map[string]string{"a": requests("2", "2Gi")}, pod: requests("1", "1Gi"), want: "b",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := placement.NewCluster()
			for _, n := range tc.nodes {
				c.SetNode(n)
			}
			for on, spec := range tc.bound {
				c.Add(on, placement.NewDemand(pod(t, spec)))
			}
			d := placement.NewDemand(pod(t, tc.pod))
			got, ok := c.Place(d)
			if !ok {
				got = c.Explain(d)
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestReplicasSpreadOverNodes(t *testing.T) {
	c := placement.NewCluster()
	for i := range 5 {
		c.SetNode(node(fmt.Sprint("n", i), "8", "8Gi"))
	}
	c.Add("n0", placement.NewDemand(pod(t, requests("1", "1Gi")))) // someone else
	p := pod(t, requests("500m", "256Mi"))
	p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID("rs"), Controller: new(true)}}
	d, per := placement.NewDemand(p), map[string]int{}
	for range 10 {
		on, _ := c.Place(d)
		c.Add(on, d)
		per[on]++
	}
	for n, k := range per {
		if k != 2 {
			t.Errorf("%s has %d replicas, want 2: %v", n, k, per)
		}
	}
}

func TestNodeComesAndGoes(t *testing.T) {
	c := placement.NewCluster()
	d := placement.NewDemand(pod(t, requests("1", "1Gi")))
	c.Add("a", d) // bound before its node was seen
	c.SetNode(node("a", "1", "2Gi"))
	if on, ok := c.Place(d); ok {
		t.Fatalf("placed on %s, which is full", on)
	}
	c.Remove("a", d)
	if _, ok := c.Place(d); !ok {
		t.Fatal("not placed on the free node:", c.Explain(d))
	}
	c.RemoveNode("a")
	if got := c.Explain(d); got != placement.NoNodes {
		t.Fatal(got)
	}
	c.SetNode(node("b", "1", "1Gi"))
	if on, _ := c.Place(d); on != "b" {
		t.Fatalf("placed on %q: %s", on, c.Explain(d))
	}
}

// Whatever comes and goes, no node is overcommitted, and a pod is refused only when no node has room.
func TestNeverOvercommitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := placement.NewCluster()
		free := map[string]int64{}
		for i := range rapid.IntRange(1, 8).Draw(t, "nodes") {
			cores := rapid.Int64Range(1, 8).Draw(t, "cores")
			name := fmt.Sprint("n", i)
			c.SetNode(node(name, fmt.Sprint(cores), "64Gi"))
			free[name] = cores * 1000
		}
		type bound struct {
			on    string
			d     *placement.Demand
			milli int64
		}
		var pods []bound
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(pods) > 0 && rapid.Bool().Draw(t, "remove") {
				p := pods[len(pods)-1]
				pods = pods[:len(pods)-1]
				c.Remove(p.on, p.d)
				free[p.on] += p.milli
				continue
			}
			milli := rapid.Int64Range(1, 4000).Draw(t, "milli")
			p := &corev1.Pod{}
			p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(fmt.Sprint(milli % 3)), Controller: new(true)}}
			p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI)}}}}
			d := placement.NewDemand(p)
			on, ok := c.Place(d)
			if !ok {
				if !strings.Contains(c.Explain(d), "Insufficient cpu") {
					t.Fatal(c.Explain(d))
				}
				for n, f := range free {
					if f >= milli {
						t.Fatalf("refused %dm, but %s has %dm", milli, n, f)
					}
				}
				continue
			}
			c.Add(on, d)
			if free[on] -= milli; free[on] < 0 {
				t.Fatalf("%s is overcommitted", on)
			}
			pods = append(pods, bound{on, d, milli})
		}
	})
}

// TestPressureKeepsPodsAway has nodes that are short of memory or disk: the conditions stand for the taints of Kubernetes.
func TestPressureKeepsPodsAway(t *testing.T) {
	under := func(kind corev1.NodeConditionType) func(*corev1.Node) {
		return func(n *corev1.Node) {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: kind, Status: corev1.ConditionTrue})
		}
	}
	bestEffort := pod(t, "containers: [{name: c}]")
	bestEffort.Status.QOSClass = corev1.PodQOSBestEffort
	burstable := pod(t, requests("1", "1Gi"))
	burstable.Status.QOSClass = corev1.PodQOSBurstable
	tolerant := bestEffort.DeepCopy()
	tolerant.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists}}
	for _, c := range []struct {
		condition corev1.NodeConditionType
		pod       *corev1.Pod
		placed    bool
	}{
		{corev1.NodeMemoryPressure, bestEffort, false},
		{corev1.NodeMemoryPressure, burstable, true},
		{corev1.NodeDiskPressure, bestEffort, false},
		{corev1.NodeDiskPressure, burstable, false},
		{corev1.NodeDiskPressure, tolerant, true},
		{corev1.NodePIDPressure, burstable, false},
	} {
		cluster := placement.NewCluster()
		cluster.SetNode(node("a", "8", "8Gi", under(c.condition)))
		d := placement.NewDemand(c.pod)
		if on, ok := cluster.Place(d); ok != c.placed {
			t.Errorf("under %s a %s pod is placed on %q", c.condition, c.pod.Status.QOSClass, on)
		}
		cluster.SetNode(node("a", "8", "8Gi"))
		if _, ok := cluster.Place(d); !ok {
			t.Errorf("after %s: %s", c.condition, cluster.Explain(d))
		}
	}
}
