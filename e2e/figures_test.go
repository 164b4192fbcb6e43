package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/e2e/harness"
)

// TestClusterFigures prints what docs/benchmarks.md says of several nodes. It runs for minutes, on a machine that has nothing else to do:
// COVEY_FIGURES=1 go test -count=1 -v -run TestClusterFigures .
func TestClusterFigures(t *testing.T) {
	if os.Getenv("COVEY_FIGURES") == "" {
		t.Skip("COVEY_FIGURES is not set")
	}
	c := harness.NewCluster(t).StartNodes(3, "--log-level", "warn") // a log of all would count among what a node writes
	first := c.Nodes[0]
	for _, n := range c.Nodes {
		first.Eventually(func() error { return ready(first, n.Name(), corev1.ConditionTrue) })
	}
	fmt.Println("| what | measured | to reach |\n| --- | --- | --- |")
	idle(t, c)
	kills(t, c)
	deaths(t, c)
	joins(t, c)
}

func figure(what, measured, target string) { fmt.Printf("| %s | %s | %s |\n", what, measured, target) }

func medianOf(list []time.Duration) string {
	slices.Sort(list)
	return fmt.Sprintf("%v (%v to %v, %d runs)", list[len(list)/2].Round(time.Millisecond), list[0].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond), len(list))
}

// joins measures from the start of a new node to its readiness.
func joins(t *testing.T, c *harness.Cluster) {
	t.Helper()
	first := c.Nodes[0]
	token := strings.TrimSpace(first.Covey("token", "create"))
	var took []time.Duration
	for range 3 {
		n := c.Add("--join", c.Address(1), "--token", token)
		began := time.Now()
		done := make(chan struct{})
		go func() { defer close(done); n.Start() }()
		for i := len(c.Nodes); ; time.Sleep(10 * time.Millisecond) {
			node, err := first.Clients.CoreV1().Nodes().Get(t.Context(), fmt.Sprintf("node-%d", i), metav1.GetOptions{})
			if err == nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			}) {
				break
			}
		}
		took = append(took, time.Since(began))
		<-done
	}
	figure("join: start on a new machine to Ready", medianOf(took), "under 2 s")
}

// kills measures how long no write is accepted when the leader is killed.
func kills(t *testing.T, c *harness.Cluster) {
	t.Helper()
	var gaps []time.Duration
	for range 5 {
		leader := 0
		c.Nodes[0].Eventually(func() error {
			for line := range strings.Lines(c.Nodes[0].Covey("status")) {
				if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "leader" {
					_, err := fmt.Sscanf(fields[0], "node-%d", &leader)
					return err
				}
			}
			return fmt.Errorf("nobody leads")
		})
		survivor := c.Nodes[leader%3]
		accepted, stop := make(chan time.Time, 1<<16), make(chan struct{})
		go func() {
			defer close(accepted)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				_, err := survivor.Clients.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "w-"}}, metav1.CreateOptions{})
				cancel()
				if err == nil {
					accepted <- time.Now()
				}
			}
		}()
		time.Sleep(2 * time.Second) // writes go on meanwhile
		c.Nodes[leader-1].Kill()
		time.Sleep(8 * time.Second)
		close(stop)
		var last time.Time
		var gap time.Duration
		for at := range accepted {
			if !last.IsZero() {
				gap = max(gap, at.Sub(last))
			}
			last = at
		}
		gaps = append(gaps, gap)
		c.Nodes[leader-1].Start()
		time.Sleep(5 * time.Second)
		survivor.Kubectl("delete", "configmaps", "--all", "--wait=false")
	}
	figure("kill -9 of the leader: last accepted write to the next", medianOf(gaps), "under 1.5 s")
}

// deaths measures from a power cut to the replacement's readiness.
func deaths(t *testing.T, c *harness.Cluster) {
	t.Helper()
	first := c.Nodes[0]
	first.Apply(replicas("web", 3))
	var took []time.Duration
	for i := range 4 {
		dead := 2 + i%2
		first.Kubectl("delete", "pods", "--all")
		readyOn(first, "web", "", 3)
		c.Isolate(dead)
		c.Nodes[dead-1].PowerCut()
		began := time.Now()
		readyOn(first, "web", fmt.Sprintf("node-%d", dead), 3)
		took = append(took, time.Since(began))
		c.Heal()
		c.Nodes[dead-1].Start()
		runsOnce(c, first, "web", 3)
	}
	figure("death of a node (power cut) to its pods replaced and ready", medianOf(took), "under 10 s")
	first.Kubectl("delete", "deployment", "web")
}

// idle measures what a node costs that has nothing to do.
func idle(t *testing.T, c *harness.Cluster) {
	t.Helper()
	const settle, long = 30 * time.Second, 60 * time.Second
	time.Sleep(settle)
	var before, after [3]sample
	for i, n := range c.Nodes {
		before[i] = sampleOf(t, n.PID())
	}
	time.Sleep(long)
	var cpu, sent, received, written, pss []string
	for i, n := range c.Nodes {
		after[i] = sampleOf(t, n.PID())
		cpu = append(cpu, fmt.Sprintf("%.2f %%", 100*(after[i].cpu-before[i].cpu).Seconds()/long.Seconds()))
		sent = append(sent, fmt.Sprintf("%.2f", float64(after[i].sent-before[i].sent)/long.Seconds()/1024))
		received = append(received, fmt.Sprintf("%.2f", float64(after[i].received-before[i].received)/long.Seconds()/1024))
		written = append(written, fmt.Sprint(after[i].written-before[i].written))
		pss = append(pss, fmt.Sprintf("%.1f", float64(after[i].pss)/1024))
	}
	figure("idle, 3 nodes: CPU of each over a minute", strings.Join(cpu, ", ")+" of a core", "under 0.3 %")
	figure("the same: KiB/s sent; received", strings.Join(sent, ", ")+"; "+strings.Join(received, ", "), "under 2 KiB/s")
	figure("the same: bytes written to disk in a minute", strings.Join(written, ", "), "0")
	figure("the same: Pss, in MiB", strings.Join(pss, ", "), "under 64 MiB")
}

// sample is what the kernel counts of a process, and of the network namespace that it is in.
type sample struct {
	cpu                     time.Duration
	sent, received, written int64
	pss                     int64 // KiB
}

func sampleOf(t *testing.T, pid int) (s sample) {
	t.Helper()
	proc := func(name string) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	_, rest, _ := strings.Cut(proc("stat"), ") ")
	stat := strings.Fields(rest)
	const ticks = 100 // a second, as on all of Linux' usual machines
	s.cpu = time.Duration(number(stat[11])+number(stat[12])) * time.Second / ticks
	for line := range strings.Lines(proc("net/dev")) {
		if counts, ok := strings.CutPrefix(strings.TrimSpace(line), "eth0:"); ok {
			fields := strings.Fields(counts)
			s.received, s.sent = number(fields[0]), number(fields[8])
		}
	}
	for line := range strings.Lines(proc("io")) {
		if bytes, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			s.written = number(strings.TrimSpace(bytes))
		}
	}
	for line := range strings.Lines(proc("smaps_rollup")) {
		if strings.HasPrefix(line, "Pss:") {
			s.pss = number(strings.Fields(line)[1])
		}
	}
	return s
}
