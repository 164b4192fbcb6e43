package e2e

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"covey.dev/covey/e2e/harness"
)

// TestWorkersRunPods has two workers of one server run what it places on them, and asks each node for it.
func TestWorkersRunPods(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 1)
	c.AddWorkers(2)
	server, worker := c.Nodes[0], c.Nodes[1]
	server.Kubectl("cordon", "node-1")
	server.Apply(shell("web", `echo "on $(hostname)"; `+sleeps))
	worker.Kubectl("scale", "deployment/web", "--replicas=2")
	worker.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	pods, err := worker.Pods("app=web")
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]bool{}
	for _, p := range pods {
		where[p.Spec.NodeName] = true
	}
	if len(pods) != 2 || !where["node-2"] || !where["node-3"] {
		t.Fatalf("%d pods on %v, want one on each worker", len(pods), where)
	}
	for _, p := range pods {
		for _, asked := range c.Nodes {
			asked.Eventually(func() error { return logsAre(asked, p.Name, "on "+p.Name+"\n") })
		}
		for _, other := range pods {
			reaches(t, worker, &p, &other)
		}
	}
	// What the client checks is the server's certificate, which is good for the worker's address.
	server.Kubectl("--server", "https://"+c.Address(3), "get", "nodes")
	for _, command := range []string{"promote", "recover"} {
		if r := worker.TryCovey(command); r.Code == 0 || !strings.Contains(r.Stderr, "node-2 is a worker, which neither votes nor has the state: run this on a server") {
			t.Errorf("covey %s on a worker: %s", command, r.Output())
		}
	}
	if out := worker.Covey("token", "create", "--worker"); len(strings.TrimSpace(out)) < 80 {
		t.Errorf("a worker makes a token: %q", out)
	}
	server.Covey("token", "list")
	if r := server.TryCovey("start", "--data-dir", server.Dir+"/other", "--state-dir", server.Dir+"/o", "--listen", "127.0.0.1:0",
		"--node-name", "other", "--join", c.Address(2), "--token", strings.TrimSpace(worker.Covey("token", "create", "--worker"))); r.Code == 0 ||
		!strings.Contains(r.Output(), "as a worker only") {
		t.Errorf("a server joins with a worker's token: %q", r.Output())
	}
	code, metrics := worker.API("GET", "/metrics", "", "")
	if code != 200 || !strings.Contains(metrics, `pod="web-`) {
		t.Errorf("a worker does not tell of its pods: %d\n%.500s", code, metrics)
	}

	server.Stop()
	server.Start()
	worker.Kubectl("scale", "deployment/web", "--replicas=3")
	server.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	stays := c.Nodes[2]
	cert := stolenCA(t, server).certify(t, selfSigned(t, worker).PrivateKey.(*ecdsa.PrivateKey), "system:node:node-2", workers)
	ping := func() error {
		_, err := ask(t, stays, cert, "covey-peer/1", "GET /ping HTTP/1.1\r\nHost: node\r\n\r\n")
		return err
	}
	if err := ping(); err != nil {
		t.Errorf("a worker does not let another one in: %v", err)
	}
	has(t, "covey leave", worker.Covey("leave"), "node/node-2 left the cluster")
	stays.Eventually(func() error {
		if ping() == nil {
			return errors.New("a worker lets one in that has left")
		}
		return nil
	})
	if code := worker.Ends(); code != 3 {
		t.Errorf("the worker ends with status %d after it has left", code)
	}
	if got := server.Kubectl("get", "nodes", "-o", "name"); strings.Contains(got, "node-2") {
		t.Errorf("nodes after a worker has left: %q", got)
	}
	server.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
}

// loyal is a pod that stays on a node that is lost.
const loyal = `apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  nodeName: %s
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
  - name: main
    image: busybox:1
    command: [sh, -c, 'echo "the setting is $SETTING"; trap exit TERM; sleep 1000000 & wait']
    env: [{name: SETTING, valueFrom: {configMapKeyRef: {name: settings, key: word}}}]
`

// TestWorkerKeepsItsWordAlone cuts a worker off, and its power too. It runs its pods until it is back, and then what the cluster
// has decided meanwhile.
func TestWorkerKeepsItsWordAlone(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 1)
	c.AddWorkers(1)
	keepsItsWord(t, c, c.Nodes[1], "no server of the cluster can be reached from worker node-2, which cannot answer this itself")
}

// TestServerKeepsItsWordAlone does the same with one of three servers, whose file is its log.
func TestServerKeepsItsWordAlone(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	keepsItsWord(t, c, c.Nodes[2], "Nothing can be written as far as node-3 sees: node-1 and node-2 do not answer")
}

// keepsItsWord has a node other than the first be cut off and come back. Meanwhile covey status says status there.
func keepsItsWord(t *testing.T, c *harness.Cluster, n *harness.Node, status string) {
	t.Helper()
	server, name := c.Nodes[0], memberName(c, n)
	server.Kubectl("create", "configmap", "settings", "--from-literal=word=kept")
	server.Apply(fmt.Sprintf(loyal, "loyal", name))
	server.Kubectl("wait", "--for=condition=Ready", "pod/loyal", "--timeout=60s")
	for _, other := range c.Nodes {
		if other != n {
			server.Kubectl("cordon", memberName(c, other))
		}
	}
	server.Apply(shell("web", sleeps))
	server.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	server.Kubectl("uncordon", "node-1")

	// The last that the node hears of is a pod.
	server.Apply(fmt.Sprintf(loyal, "late", name))
	n.Kubectl("get", "pod", "late")
	uid := server.Kubectl("get", "pod", "loyal", "-o", "jsonpath={.metadata.uid}")
	c.Isolate(slices.Index(c.Nodes, n) + 1)
	n.Eventually(func() error {
		r := n.TryKubectl("exec", "loyal", "--", "true")
		if r.Code != 0 {
			return fmt.Errorf("a node that is cut off does not run commands: %s", r.Output())
		}
		if !strings.Contains(r.Stderr, "Warning: no ") {
			t.Errorf("exec does not say that what it goes by may be old: %q", r.Stderr)
		}
		return nil
	})
	was := n.Running()[uid]
	// The container's first process ends, so that it has to be started again. It may take kill along before that has ended well.
	if r := n.TryKubectl("exec", "loyal", "--", "kill", "1"); r.Code != 0 && r.Code != 137 {
		t.Errorf("a node that is cut off does not run commands: %s", r.Output())
	}
	n.Eventually(func() error { // the logs are those of the one that ended until then
		for id := range n.Running()[uid] {
			if was[id] == nil {
				return nil
			}
		}
		return fmt.Errorf("a node that is cut off runs %v after %v has ended", n.Running()[uid], was)
	})
	n.Eventually(func() error { return logsSay(n, "loyal", "the setting is kept") })
	n.Eventually(func() error { return contain(n.TryCovey("status").Output(), status) })
	n.PowerCut()
	n.Start()
	n.Eventually(func() error { return logsSay(n, "loyal", "the setting is kept") })
	n.Eventually(func() error { return logsSay(n, "late", "the setting is kept") })
	r := n.TryKubectl("get", "pod", "loyal")
	if r.Code != 0 || !strings.Contains(r.Stderr, "Warning: no ") || !strings.Contains(r.Stderr, "can be") {
		t.Errorf("a node that is cut off answers %q", r.Output())
	}
	if r := n.TryKubectl("delete", "pod", "loyal", "--wait=false", "--request-timeout=5s"); r.Code == 0 {
		t.Error("a node that is cut off deletes a pod")
	}
	// The others have replaced what may be replaced.
	server.Eventually(func() error { return ready(server, name, corev1.ConditionUnknown) })
	server.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	c.Heal()
	server.Eventually(func() error { return ready(server, name, corev1.ConditionTrue) })
	server.Eventually(func() error {
		pods, err := server.Pods("app=web")
		if err == nil && (len(pods) != 1 || pods[0].Spec.NodeName == name) {
			err = fmt.Errorf("%d pods of web, want one, on another node than %s", len(pods), name)
		}
		return err
	})
	server.Eventually(func() error {
		got := server.Kubectl("get", "pod", "loyal", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount}")
		var restarts int
		if _, err := fmt.Sscanf(got, "Running %d", &restarts); err != nil || restarts < 2 {
			return fmt.Errorf("the pod is %q, want it running and started again twice", got)
		}
		return nil
	})
	// The leader may know that it is back a moment before this server does.
	executes(t, server, "loyal", "true")
	if got := server.Kubectl("get", "events", "--field-selector", "involvedObject.name=loyal", "-o", "jsonpath={.items[*].reason}"); !strings.Contains(got, "Started") {
		t.Errorf("the events of the pod are %q", got)
	}
}

func memberName(c *harness.Cluster, n *harness.Node) string {
	return fmt.Sprintf("node-%d", slices.Index(c.Nodes, n)+1)
}

// TestClientsOfAWorkerMissNothing has a client follow changes through a worker, while the server that this passes it on to is cut off, and
// then the worker itself. In the end it has seen all that happened meanwhile.
func TestClientsOfAWorkerMissNothing(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	c.AddWorkers(1)
	worker := c.Nodes[3]
	client, err := kubernetes.NewForConfig(worker.Config())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &stream{node: worker, clients: client}
	s.list(ctx)
	var following sync.WaitGroup
	following.Go(func() { s.follow(ctx) })
	defer following.Wait()
	defer stop()
	change := func(through *harness.Node, name string) {
		t.Helper()
		maps := through.Clients.CoreV1().ConfigMaps("default")
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": written}}}
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const patience = 30 * time.Second // before client-go finds out by itself that a connection is dead
	seen := func(name string) {
		t.Helper()
		worker.Within(patience, func() error {
			if !s.saw(name) {
				return fmt.Errorf("a client of the worker has not seen that %s was made", name)
			}
			return nil
		})
	}
	change(c.Nodes[0], "before")
	seen("before")

	cut := followedBy(t, worker)
	c.Isolate(cut)
	change(c.Nodes[cut%3], "without-a-server")
	seen("without-a-server")
	c.Heal()

	c.Isolate(4)
	worker.Eventually(func() error { // which has no config maps that no pod of its own uses
		list, err := client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = errors.New("the worker does not answer by itself yet")
		}
		return err
	})
	change(c.Nodes[0], "without-the-worker")
	c.Heal()
	change(c.Nodes[0], "after")
	seen("after")
	seen("without-the-worker")
	if _, err := client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{ResourceVersion: "0"}); err != nil {
		t.Error(err)
	}
	if err := client.CoreV1().ConfigMaps("default").Delete(ctx, "after", metav1.DeleteOptions{}); err != nil {
		t.Errorf("a client that was there while the worker was cut off: %v", err)
	}
}

// followedBy is the number of the server that tells a worker what to run, and that it passes clients on to first.
func followedBy(t *testing.T, worker *harness.Node) (number int) {
	t.Helper()
	said := regexp.MustCompile(`msg="a server is followed" server=(\w+)`).FindAllStringSubmatch(worker.Log(), -1)
	if len(said) == 0 {
		t.Fatal("the worker follows no server")
	}
	id := said[len(said)-1][1]
	line := regexp.MustCompile(`(?m)^node-(\d) .* ` + id + `$`).FindStringSubmatch(worker.Covey("status"))
	if line == nil {
		t.Fatalf("the worker follows %s, which is no server", id)
	}
	number, _ = strconv.Atoi(line[1])
	return number
}
