package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// helloScaler has each hello answer 10 requests a second. Both are as in docs/autoscaling.md, but for the window.
const helloScaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: hello}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: hello}
  minReplicas: 1
  maxReplicas: 6
  metrics:
  - type: Pods
    pods: {metric: {name: requests_per_second}, target: {type: AverageValue, averageValue: "10"}}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 10}
`

const (
	step = 5 * time.Second // of an autoscaler, by default
	calm = 4               // requests a second, which one hello answers
	busy = 38              // which take four
)

// scaledHello deploys hello and its autoscaler, and returns its users when their load is measured.
func scaledHello(n *harness.Node) *harness.Load {
	n.Kubectl("apply", "-f", filepath.Join(harness.Repository(), "examples", "hello", "hello.yaml"))
	n.Kubectl("rollout", "status", "deployment/hello")
	n.Apply(helloScaler)
	users := n.GenerateLoad("app=hello", 5000, "/api/hello")
	users.Set(calm)
	n.Eventually(func() error {
		if got := n.Kubectl("get", "hpa", "hello", "-o", "jsonpath={.status.currentMetrics[0].pods.current.averageValue}"); got == "" || got == "0" {
			return fmt.Errorf("no requests are measured:\n%s", n.Kubectl("describe", "hpa", "hello"))
		}
		return nil
	})
	return users
}

// sizes waits for a size and returns all that there were until then.
func sizes(n *harness.Node, watch *harness.Following, want int) (seen []int) {
	watch.UntilFunc(fmt.Sprintf("a size of %d", want), func(line string) bool {
		size, err := strconv.Atoi(line)
		seen = append(seen, size)
		return err == nil && size == want
	})
	return seen
}

func watchSize(n *harness.Node) *harness.Following {
	return n.Follow("kubectl", "get", "deployment", "hello", "-w", "-o", `jsonpath={.spec.replicas}{"\n"}`)
}

// stepsTo waits until an autoscaler that wanted one replica wants another number, and returns at which of its steps that was, counted from
// the first at which it wanted more.
func stepsTo(rescaled *harness.Following, want int) int {
	var first, last time.Time
	rescaled.UntilFunc(fmt.Sprintf("that %d replicas are wanted", want), func(line string) bool {
		size, at, _ := strings.Cut(line, " ")
		if size == "1" {
			return false
		}
		last, _ = time.Parse(time.RFC3339, at)
		if first.IsZero() {
			first = last
		}
		return size == strconv.Itoa(want)
	})
	return 1 + int(last.Sub(first).Round(step)/step)
}

// TestReplicasFollowTheLoad: a service grows with its load within six steps, shrinks with it, and says why. Four are needed where the first
// sees the load for a half of its time, and each replica that comes takes its part of the load unmeasured until the next step but one; two
// more where a replica is slow to start.
func TestReplicasFollowTheLoad(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	users := scaledHello(n)
	shown, size := n.Follow("kubectl", "get", "hpa", "hello", "-w"), watchSize(n)
	rescaled := n.Follow("kubectl", "get", "hpa", "hello", "-w", "-o", `jsonpath={.status.desiredReplicas} {.status.lastScaleTime}{"\n"}`)
	sizes(n, size, 1)
	users.Set(busy)
	if took := stepsTo(rescaled, 4); took > 6 {
		t.Errorf("it took %d steps to four replicas: %s", took, rescaled.Seen())
	}
	sizes(n, size, 4)
	shown.UntilFunc("four replicas", showsSize(4))
	users.Set(calm)
	sizes(n, size, 1)
	shown.UntilFunc("one replica", showsSize(1))
	said := n.Kubectl("describe", "hpa", "hello")
	for _, want := range []string{"SuccessfulRescale", "; reason: pods metric requests_per_second above target; measured ", ", estimated ", "ValidMetricFound", "New size: 1; reason: All metrics below target"} {
		if !strings.Contains(said, want) {
			t.Errorf("describe does not say %q:\n%s", want, said)
		}
	}

	n.Kubectl("delete", "hpa", "hello")
	n.Kubectl("autoscale", "deployment", "hello", "--min=2", "--max=3", "--cpu=90%")
	sizes(n, size, 2)
	n.Eventually(func() error {
		if out := n.Kubectl("get", "hpa", "hello"); !strings.Contains(out, "%/90%") {
			return fmt.Errorf("no load is shown:\n%s", out)
		}
		return nil
	})
	for note, want := range map[string]string{"covey.dev/ewma-alpha=2": "must be a number from 0 to 1", "covey.dev/ewma-step=0": "must be a number of seconds from 1 to 300"} {
		if r := n.TryKubectl("annotate", "hpa", "hello", note); r.Code == 0 || !strings.Contains(r.Output(), want) {
			t.Errorf("%s: %s", note, r.Output())
		}
	}
}

// showsSize is for a line of kubectl get hpa: NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE.
func showsSize(want int) func(line string) bool {
	return func(line string) bool {
		fields := strings.Fields(line)
		return len(fields) == 7 && fields[5] == strconv.Itoa(want)
	}
}

// TestScalingOutlivesTheLeader kills the leader right after the load has risen: the next one goes on from where it was, up to the
// size that the load wants, or one more for a moment when it comes unevenly, and down again.
func TestScalingOutlivesTheLeader(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	leader := c.Nodes[leaderOf(c.Nodes[0])-1]
	stays := c.Nodes[0]
	if stays == leader {
		stays = c.Nodes[1]
	}
	for i, n := range c.Nodes {
		n.LoadImages()
		if n == leader {
			stays.Kubectl("cordon", fmt.Sprintf("node-%d", i+1)) // what it runs is not what this is about
		}
	}
	users := scaledHello(stays)
	size := watchSize(stays)
	sizes(stays, size, 1)
	before := stays.Kubectl("get", "hpa", "hello", "-o", `jsonpath={.metadata.annotations.covey\.dev/ewma-estimate}`)
	users.Set(busy)
	leader.Kill()
	largest := 1
	for _, n := range sizes(stays, size, 4) {
		if n < min(largest, 4) || n > 5 {
			t.Errorf("a size of %d after one of %d", n, largest)
		}
		largest = max(largest, n)
	}
	after := stays.Kubectl("get", "hpa", "hello", "-o", `jsonpath={.metadata.annotations.covey\.dev/ewma-estimate}`)
	if !strings.HasPrefix(before, "requests_per_second=") || !strings.HasPrefix(after, "requests_per_second=") || before == after {
		t.Errorf("the estimate was %q, and is %q", before, after)
	}
	users.Set(calm)
	sizes(stays, size, 1)
}
