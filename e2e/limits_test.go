package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"covey.dev/covey/e2e/harness"
)

// The tests of this file take minutes and gigabytes: make limits runs them, and prints the table of docs/limits.md.

func limits(t *testing.T) {
	t.Helper()
	if os.Getenv("COVEY_LIMITS") == "" {
		t.Skip("make limits runs this")
	}
}

// count is how many of something, by default as many as docs/limits.md says: COVEY_LIMITS_OBJECTS=1000 makes it fewer.
func count(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv("COVEY_LIMITS_" + name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("COVEY_LIMITS_%s: %v", name, err)
	}
	return n
}

// row prints a row of the table.
func row(format string, args ...any) { fmt.Printf("| "+format+" |\n", args...) }

// memory is the proportional set size of a process in MiB.
func memory(t *testing.T, pid int) float64 {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); fields[0] == "Pss:" {
			kib, _ := strconv.Atoi(fields[1])
			return float64(kib) / 1024
		}
	}
	t.Fatal("no Pss")
	return 0
}

// cpuTime is what a process used so far.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// inParallel calls f for 0 to n-1 from 32 goroutines, and returns how long each call took, sorted.
func inParallel(t *testing.T, n int, f func(i int) error) []time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	var next atomic.Int64
	var working sync.WaitGroup
	for range 32 {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				began := time.Now()
				if err := f(i); err != nil {
					t.Errorf("%d: %v", i, err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	working.Wait()
	slices.Sort(took)
	return took
}

func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)].Round(10 * time.Microsecond)
}

// TestLimitsObjects makes 10,000 objects of each kind, one kind after the other, in one cluster.
func TestLimitsObjects(t *testing.T) {
	limits(t)
	n := harness.Start(t)
	many := count(t, "OBJECTS", 10_000)
	cfg := n.Config()
	cfg.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("\n| kind | creates/s | create p50, p99 | get p50, p99 | list of all | list of 500 | covey's memory, MiB |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	row("(none) | | | | | | %.0f", memory(t, n.PID()))
	for _, resource := range creatable(t, n.Clients) {
		objects(t, n, client, resource, many)
	}
	began := time.Now()
	n.Kill()
	n.Start()
	fmt.Printf("\nAfter kill -9, ready again after %v with %.0f MiB; the store has %d MiB on disk.\n",
		time.Since(began).Round(time.Millisecond), memory(t, n.PID()), n.SizeOf("store")>>20)
	for _, r := range creatable(t, n.Clients) {
		if !slices.Contains([]string{"deployments", "replicasets", "pods"}, r.Name) {
			continue // they go with the node's directory
		}
		began := time.Now()
		in := client.Resource(schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Name}).Namespace("default")
		if err := in.DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Errorf("delete all %s: %v", r.Name, err)
		}
		fmt.Printf("All %s deleted at once: %v.\n", r.Name, time.Since(began).Round(time.Millisecond))
	}
}

// creatable are the kinds that clients can create and list; nodes come last, or pods would be tried on 10,000 of them.
func creatable(t *testing.T, clients kubernetes.Interface) (all []metav1.APIResource) {
	t.Helper()
	lists, err := clients.Discovery().ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if slices.Contains(r.Verbs, "create") && slices.Contains(r.Verbs, "list") {
				r.Group, r.Version = gv.Group, gv.Version
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b metav1.APIResource) int {
		last := func(r metav1.APIResource) string { return map[bool]string{true: "~"}[r.Name == "nodes"] }
		return strings.Compare(last(a)+a.Name+a.Group, last(b)+b.Name+b.Group)
	})
	return all
}

func objects(t *testing.T, n *harness.Node, client dynamic.Interface, r metav1.APIResource, many int) {
	t.Helper()
	ctx := context.Background()
	var in dynamic.ResourceInterface = client.Resource(schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Name})
	if r.Namespaced {
		in = client.Resource(schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Name}).Namespace("default")
	}
	name := func(i int) string { return fmt.Sprintf("limit-%05d", i) }
	began := time.Now()
	created := inParallel(t, many, func(i int) error {
		_, err := in.Create(ctx, specimen(r, name(i)), metav1.CreateOptions{})
		return err
	})
	rate := float64(many) / time.Since(began).Seconds()
	if t.Failed() {
		t.FailNow()
	}
	got := inParallel(t, min(many, 2000), func(i int) error {
		_, err := in.Get(ctx, name(i*7919%many), metav1.GetOptions{})
		return err
	})
	began = time.Now()
	list, err := in.List(ctx, metav1.ListOptions{})
	all := time.Since(began)
	if err != nil || len(list.Items) < many {
		t.Fatalf("%s: %d of %d objects are listed: %v", r.Name, len(list.Items), many, err)
	}
	began = time.Now()
	page, err := in.List(ctx, metav1.ListOptions{Limit: 500})
	if err != nil || len(page.Items) < min(500, many) || len(page.Items) > 500 {
		t.Fatalf("%s: %d objects on a page: %v", r.Name, len(page.Items), err)
	}
	row("%s | %.0f | %v, %v | %v, %v | %v | %v | %.0f", r.Name+suffix(r.Group), rate, percentile(created, 50), percentile(created, 99),
		percentile(got, 50), percentile(got, 99), all.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), memory(t, n.PID()))
}

// suffix tells events.events.k8s.io from events.
func suffix(group string) string {
	if group == "" {
		return ""
	}
	return "." + group
}

// specimen is an object of a kind that nothing acts on: pods that fit nowhere, controllers of no pods.
func specimen(r metav1.APIResource, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion(schema.GroupVersion{Group: r.Group, Version: r.Version}.String())
	o.SetKind(r.Kind)
	o.SetName(name)
	o.SetLabels(map[string]string{"limit": name})
	container := map[string]any{"name": "c", "image": "busybox:1", "command": []any{"sleep", "3600"}}
	pod := map[string]any{"nodeSelector": map[string]any{"limit": "none"}, "containers": []any{container}}
	labels := map[string]any{"limit": name}
	template := map[string]any{"metadata": map[string]any{"labels": labels}, "spec": pod}
	workload := map[string]any{"replicas": int64(0), "selector": map[string]any{"matchLabels": labels}, "template": template}
	switch r.Name {
	case "pods":
		o.Object["spec"] = pod
	case "deployments", "replicasets", "statefulsets":
		o.Object["spec"] = workload
	case "services":
		o.Object["spec"] = map[string]any{"ports": []any{map[string]any{"port": int64(80)}}, "clusterIP": "None"}
	case "endpointslices":
		o.Object["addressType"] = "IPv4"
		o.Object["endpoints"] = []any{map[string]any{"addresses": []any{"10.1.2.3"}}}
	case "endpoints":
		o.Object["subsets"] = []any{map[string]any{"addresses": []any{map[string]any{"ip": "10.1.2.3"}}, "ports": []any{map[string]any{"port": int64(80)}}}}
	case "configmaps":
		o.Object["data"] = map[string]any{"key": strings.Repeat("v", 100)}
	case "secrets":
		o.Object["stringData"] = map[string]any{"key": strings.Repeat("v", 100)}
	case "events":
		if r.Group == "" {
			o.Object["involvedObject"] = map[string]any{"kind": "Pod", "name": name, "namespace": "default"}
		} else {
			o.Object["regarding"] = map[string]any{"kind": "Pod", "name": name, "namespace": "default"}
			o.Object["eventTime"], o.Object["reportingController"] = "2026-01-02T03:04:05.000000Z", "covey.dev/limits"
			o.Object["reportingInstance"], o.Object["action"], o.Object["type"] = "limits", "Test", "Normal"
		}
		o.Object["reason"], o.Object["note"] = "Test", "a message of usual length about what happened to the pod"
		if r.Group == "" {
			delete(o.Object, "note")
			o.Object["message"] = "a message of usual length about what happened to the pod"
		}
	case "priorityclasses":
		o.Object["value"] = int64(1)
	case "poddisruptionbudgets":
		o.Object["spec"] = map[string]any{"minAvailable": int64(1), "selector": map[string]any{"matchLabels": labels}}
	case "leases":
		o.Object["spec"] = map[string]any{"holderIdentity": name, "leaseDurationSeconds": int64(40)}
	}
	return o
}

// TestLimitsLargeObjects fills config maps and secrets up to a byte below, at and above what Kubernetes takes.
func TestLimitsLargeObjects(t *testing.T) {
	limits(t)
	n := harness.Start(t)
	ctx := context.Background()
	const most = 1 << 20
	maps, secrets := n.Clients.CoreV1().ConfigMaps("default"), n.Clients.CoreV1().Secrets("default")
	sized := func(name string, size int) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"k": strings.Repeat("x", size)}}
	}
	before := memory(t, n.PID())
	took := inParallel(t, 100, func(i int) error {
		_, err := maps.Create(ctx, sized(fmt.Sprint("large-", i), most), metav1.CreateOptions{})
		return err
	})
	began := time.Now()
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) < 100 {
		t.Fatalf("%d objects (%v)", len(list.Items), err)
	}
	fmt.Println("\n| 100 config maps of 1 MiB | |\n| --- | --- |")
	row("create p50, p99 (32 at once) | %v, %v", percentile(took, 50), percentile(took, 99))
	row("list of all | %v", time.Since(began).Round(time.Millisecond))
	row("covey's memory before, after, MiB | %.0f, %.0f", before, memory(t, n.PID()))
	_, err = maps.Create(ctx, sized("larger", most+1), metav1.CreateOptions{})
	row("1 MiB and a byte | %.120v", err)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "Too long: may not be more than 1048576 bytes") {
		t.Errorf("a config map of a byte too many is answered with %v", err)
	}
	_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Data: map[string][]byte{"k": []byte(strings.Repeat("x", most+1))}}, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "Too long") {
		t.Errorf("a secret of a byte too many is answered with %v", err)
	}
	_, err = maps.Create(ctx, sized("huge", 4*most), metav1.CreateOptions{})
	row("4 MiB | %.120v", err)
	if !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("a body of 4 MiB is answered with %v", err)
	}
}

// TestLimitsWatchers has 1,000 clients watch one resource while it is written to: each sees every change, in order.
func TestLimitsWatchers(t *testing.T) {
	limits(t)
	n := harness.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	watchers, writes := count(t, "WATCHERS", 1000), count(t, "WRITES", 1000)
	before, beforeCPU := memory(t, n.PID()), cpuTime(t, n.PID())
	var watches []watch.Interface
	for len(watches) < watchers {
		clients, err := kubernetes.NewForConfig(n.Config()) // a connection for each 100 watches
		if err != nil {
			t.Fatal(err)
		}
		for range min(100, watchers-len(watches)) {
			w, err := clients.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{LabelSelector: "limits=yes"})
			if err != nil {
				t.Fatal(err)
			}
			watches = append(watches, w)
		}
	}
	idle := memory(t, n.PID())
	var slowest atomic.Int64 // nanoseconds from a write to its last watcher
	var watching sync.WaitGroup
	began := make([]atomic.Int64, writes)
	for _, w := range watches {
		watching.Go(func() {
			defer w.Stop()
			for want := range writes {
				event, open := <-w.ResultChan()
				if !open {
					t.Errorf("a watch ended before change %d", want)
					return
				}
				cm, ok := event.Object.(*corev1.ConfigMap)
				if !ok || cm.Data["n"] != strconv.Itoa(want) {
					t.Errorf("change %d is %v", want, event)
					return
				}
				late := time.Now().UnixNano() - began[want].Load()
				for old := slowest.Load(); late > old && !slowest.CompareAndSwap(old, late); old = slowest.Load() {
				}
			}
		})
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "watched", Labels: map[string]string{"limits": "yes"}}, Data: map[string]string{"n": "0"}}
	maps := n.Clients.CoreV1().ConfigMaps("default")
	start := time.Now()
	began[0].Store(start.UnixNano())
	if _, err := maps.Create(ctx, cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < writes; i++ {
		cm.Data["n"] = strconv.Itoa(i)
		began[i].Store(time.Now().UnixNano())
		if _, err := maps.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	written := time.Since(start)
	watching.Wait()
	seen := time.Since(start)
	fmt.Printf("\n| %d watchers of one resource, %d writes one after the other | |\n| --- | --- |\n", watchers, writes)
	row("covey's memory before, with the watchers, after the writes, MiB | %.0f, %.0f, %.0f", before, idle, memory(t, n.PID()))
	row("memory for each watcher | %.0f KiB", (idle-before)*1024/float64(watchers))
	row("writes/s | %.0f", float64(writes)/written.Seconds())
	row("events/s | %.0f", float64(watchers*writes)/seen.Seconds())
	row("slowest event after its write began | %v", time.Duration(slowest.Load()).Round(time.Millisecond))
	row("covey's CPU time for each event | %v", ((cpuTime(t, n.PID()) - beforeCPU) / time.Duration(watchers*writes)).Round(100*time.Nanosecond))
}

// TestLimitsPods runs 500 pods on the node.
func TestLimitsPods(t *testing.T) {
	limits(t)
	many := count(t, "PODS", 500)
	n := harness.Start(t, "--max-pods", "510")
	before := memory(t, n.PID())
	n.Apply(shell("web", sleeps))
	began := time.Now()
	n.Kubectl("scale", "deployment/web", fmt.Sprint("--replicas=", many))
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=900s")
	ready := time.Since(began)
	pods, err := n.Pods("app=web")
	if err != nil || len(pods) != many {
		t.Fatalf("%d pods (%v), want %d", len(pods), err, many)
	}
	addresses := map[string]bool{}
	for _, p := range pods {
		addresses[p.Status.PodIP] = true
	}
	if len(addresses) != many || addresses[""] {
		t.Errorf("%d addresses for %d pods", len(addresses), many)
	}
	var shims float64
	for _, pid := range n.Shims() {
		shims += memory(t, pid)
	}
	cpu, at := cpuTime(t, n.PID()), time.Now()
	time.Sleep(20 * time.Second) // what it uses while nothing happens is what is measured
	idle := (cpuTime(t, n.PID()) - cpu).Seconds() / time.Since(at).Seconds() * 100
	fmt.Printf("\n| %d pods on the node | |\n| --- | --- |\n", many)
	row("all ready after | %v", ready.Round(100*time.Millisecond))
	row("covey's memory before, with them, MiB | %.0f, %.0f", before, memory(t, n.PID()))
	row("memory of %d shims, MiB | %.0f", len(n.Shims()), shims)
	row("covey's CPU while nothing happens | %.2f %%", idle)
	began = time.Now()
	n.Kill()
	n.Start()
	row("ready again after kill -9 | %v", time.Since(began).Round(time.Millisecond))
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	began = time.Now()
	n.Kubectl("delete", "deployment/web", "--cascade=foreground", "--timeout=900s")
	n.Kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=900s")
	row("all deleted after | %v", time.Since(began).Round(100*time.Millisecond))
	if entries, err := filepath.Glob(filepath.Join(n.DataDir, "pods", "*", "volumes")); err != nil || len(entries) > 0 {
		t.Errorf("left: %v (%v)", entries, err)
	}
}
