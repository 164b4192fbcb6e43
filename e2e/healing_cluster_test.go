package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// replicas is a deployment of so many pods, one on each node while there are enough.
func replicas(name string, count int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: %[1]s}}}
      containers:
      - {name: c, image: "busybox:1", command: [sh, -c, %[3]q]}
`, name, count, sleeps)
}

// readyOn waits until so many pods are ready, none of them on the node without, and returns those that are ready and those that are not.
func readyOn(n *harness.Node, app, without string, count int) (ready, others []corev1.Pod) {
	n.Eventually(func() error {
		pods, err := n.Pods("app=" + app)
		if err != nil {
			return err
		}
		ready, others = nil, nil
		for _, p := range pods {
			if harness.Ready(&p) == nil && p.DeletionTimestamp == nil && p.Spec.NodeName != without {
				ready = append(ready, p)
			} else {
				others = append(others, p)
			}
		}
		if len(ready) != count {
			return fmt.Errorf("%d pods of %s are ready elsewhere than on %q, want %d: %s", len(ready), app, without, count, n.TryKubectl("get", "pods", "-o", "wide").Output())
		}
		return nil
	})
	return ready, others
}

// runsOnce waits until the pods are all of the app that the API knows, and all whose processes run on any node.
func runsOnce(c *harness.Cluster, asked *harness.Node, app string, count int) {
	asked.Eventually(func() error {
		pods, err := asked.Pods("app=" + app)
		if err != nil {
			return err
		}
		if len(pods) != count {
			return fmt.Errorf("%d pods, want %d", len(pods), count)
		}
		where := map[string]string{}
		for _, p := range pods {
			where[string(p.UID)] = p.Spec.NodeName
		}
		running := 0
		for i, n := range c.Nodes {
			for uid := range n.Running() {
				if where[uid] != fmt.Sprintf("node-%d", i+1) {
					return fmt.Errorf("node-%d runs the pod %s, which is on %q", i+1, uid, where[uid])
				}
				running++
			}
		}
		if running != count {
			return fmt.Errorf("%d pods run, want %d", running, count)
		}
		return nil
	})
}

// TestADeadNodesPodsAreReplaced takes the power from a node, and gives it back. Pods that tolerate it for a time stay so long.
func TestADeadNodesPodsAreReplaced(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	first, second := c.Nodes[0], c.Nodes[1]
	const patience = 15 * time.Second
	first.Apply(replicas("web", 3))
	first.Apply(strings.ReplaceAll(replicas("patient", 3), "      containers:", fmt.Sprintf(
		"      tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: %.0f}]\n      containers:", patience.Seconds())))
	readyOn(first, "web", "", 3)
	readyOn(first, "patient", "", 3)

	died := time.Now()
	c.Isolate(2) // so that nobody is told by a closed connection
	second.PowerCut()
	readyOn(first, "web", "node-2", 3)
	t.Logf("replaced after %v", time.Since(died))
	readyOn(first, "patient", "node-2", 3)
	if took := time.Since(died); took < patience {
		t.Errorf("a pod that tolerates a lost node for %v was replaced after %v", patience, took)
	}
	first.Kubectl("delete", "deployment", "patient", "--wait=false")
	has(t, "the dead node", first.Kubectl("describe", "node", "node-2"), "node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/unreachable:NoSchedule", "NodeStatusUnknown")

	c.Heal()
	second.Start()
	runsOnce(c, first, "web", 3)
	first.Eventually(func() error {
		if taints := first.Kubectl("get", "node", "node-2", "-o", "jsonpath={.spec.taints}"); taints != "" {
			return fmt.Errorf("taints of the node that is back: %s", taints)
		}
		return ready(first, "node-2", corev1.ConditionTrue)
	})
	first.Eventually(func() error { return contain(first.Kubectl("describe", "node", "node-2"), "NodeNotReady", "NodeReady") })
}

// TestACutOffNodeLearnsWhatItMustNoLongerRun cuts a node off, which keeps its pods until it hears that they were replaced.
func TestACutOffNodeLearnsWhatItMustNoLongerRun(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	first, third := c.Nodes[0], c.Nodes[2]
	first.Apply(replicas("web", 3))
	readyOn(first, "web", "", 3)

	c.Isolate(3)
	readyOn(first, "web", "node-3", 3)
	if got := len(third.Running()); got != 1 {
		t.Errorf("the node that was cut off runs %d pods, want the one it had", got)
	}
	c.Heal()
	healed := time.Now()
	runsOnce(c, first, "web", 3)
	t.Logf("a pod that was replaced ran beside its replacement for %v after the cut", time.Since(healed))
}

// TestAFlakyNetworkMovesNothing has all links lose every fifth frame and delay the others, then one way cut, for a time each.
func TestAFlakyNetworkMovesNothing(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	c.Nodes[0].Apply(replicas("web", 3))
	readyOn(c.Nodes[0], "web", "", 3)
	before := undisturbed(t, c)
	for _, fault := range []struct {
		name string
		set  func()
		time time.Duration
	}{
		{"20 % loss and 300 ms", func() { c.Lose(0.2); c.Delay(300 * time.Millisecond) }, 20 * time.Second},
		{"from a follower to the leader nothing passes", func() { c.CutOneWay(2, 1) }, 10 * time.Second},
		{"from the leader to a follower nothing passes", func() { c.CutOneWay(1, 3) }, 10 * time.Second},
	} {
		fault.set()
		time.Sleep(fault.time) // which is what is tested
		c.Heal()
		if after := undisturbed(t, c); after != before {
			t.Errorf("%s:\n%s\nbefore:\n%s", fault.name, after, before)
		}
	}
}

// undisturbed is what must stay as it is: how often a leader was elected, the nodes' readiness, and the pods.
func undisturbed(t *testing.T, c *harness.Cluster) string {
	t.Helper()
	state, n := "", c.Nodes[0]
	n.Eventually(func() error {
		pods := n.TryKubectl("get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
		nodes := n.TryKubectl("get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")]}{"\n"}{end}`)
		if pods.Code+nodes.Code != 0 {
			return fmt.Errorf("%s%s", pods.Output(), nodes.Output())
		}
		state = pods.Stdout + nodes.Stdout
		return nil
	})
	elections := 0
	for _, n := range c.Nodes {
		elections += strings.Count(n.Log(), "election won")
	}
	if elections == 0 {
		t.Error("the logs do not say when a leader is elected")
	}
	return fmt.Sprintf("%selections: %d", state, elections)
}

// TestAtMostOne has a pod that may run at most once on a node that is cut off, and then on one where covey does not run any more.
func TestAtMostOne(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	first := c.Nodes[0]
	first.Apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: one}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}, annotations: {covey.dev/at-most-one: "true"}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [
        {key: kubernetes.io/hostname, operator: NotIn, values: [node-1]}]}]}}}
      containers:
      - {name: c, image: "busybox:1", command: [sh, -c, ` + fmt.Sprintf("%q", sleeps) + `]}
`)
	for _, fault := range []struct {
		name       string
		set, after func(i int)
	}{
		{"cut off", func(i int) { c.Isolate(i) }, func(int) { c.Heal() }},
		{"frozen", func(i int) { c.Nodes[i-1].Signal(syscall.SIGSTOP) }, func(i int) { c.Nodes[i-1].Signal(syscall.SIGCONT) }},
	} {
		pod := first.Pod("app=one", harness.Ready)
		var i int
		_, _ = fmt.Sscanf(pod.Spec.NodeName, "node-%d", &i)
		fault.set(i)
		began := time.Now()
		if out := first.TryKubectl("delete", "pod", pod.Name, "--wait=false").Output(); !strings.Contains(out, "deleted") {
			t.Errorf("%s: delete the pod: %s", fault.name, out) // which its node does not hear of
		}
		var ended time.Duration
		first.Eventually(func() error {
			running := 0
			for _, n := range c.Nodes {
				running += len(n.Running())
			}
			if running > 1 {
				t.Fatalf("%s: %d run at a time", fault.name, running)
			}
			if running == 0 && ended == 0 {
				ended = time.Since(began)
			}
			pods, err := first.Pods("app=one")
			if err == nil && (len(pods) != 1 || pods[0].Name == pod.Name || harness.Ready(&pods[0]) != nil) {
				err = fmt.Errorf("%s: it is not replaced", fault.name)
			}
			return err
		})
		t.Logf("%s: ended after %v, replaced after %v", fault.name, ended, time.Since(began))
		fault.after(i)
		runsOnce(c, first, "one", 1)
		first.Eventually(func() error { return ready(first, pod.Spec.NodeName, corev1.ConditionTrue) })
	}
}
