package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// TestLogsOverRotations has a container print more than its log files hold, part of it while covey is dead.
func TestLogsOverRotations(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, "--container-log-max-size=64Ki", "--container-log-max-files=6")
	const lines = 4000 // of 100 bytes and more; half of them fit, so that one who follows may fall behind
	pad := strings.Repeat("x", 90)
	n.Apply(shell("talker", fmt.Sprintf(`i=0
print() { until [ $i -eq $1 ]; do i=$((i+1)); echo line $i %s; [ $((i %% 50)) -ne 0 ] || sleep 0.02; done; }
print 2000; until [ -e /go ]; do sleep 0.05; done; print %d; touch /done; %s`, pad, lines, sleeps)))
	p := n.Pod("app=talker", harness.Ready)
	follow := n.Follow("kubectl", "logs", "-f", p.Name)
	follow.Until("line 2000 ")
	inOrder(t, follow.Seen(), 2000)
	follow.Stop()
	n.Kubectl("exec", p.Name, "--", "touch", "/go")
	n.Kill()
	files := filepath.Join(n.DataDir, "pods", string(p.UID), "logs", "c", "0.log*")
	n.Eventually(func() error {
		newest, err := os.ReadFile(strings.TrimSuffix(files, "*"))
		if err != nil || !strings.Contains(string(newest), fmt.Sprintf("line %d ", lines)) {
			return fmt.Errorf("the last line is not in the log (%w)", err)
		}
		return nil
	})
	n.Start()
	inOrder(t, n.Kubectl("logs", p.Name), lines)
	found, err := filepath.Glob(files)
	if err != nil || len(found) != 6 {
		t.Errorf("log files %v (%v), want 6", found, err)
	}
	for _, file := range found {
		if info, err := os.Stat(file); err != nil || info.Size() > 64<<10 {
			t.Errorf("%s: %v (%v), want at most 64 KiB", file, info, err)
		}
	}
}

// inOrder checks that counted lines have no gap and end with the last; the first ones may be rotated away.
func inOrder(t *testing.T, logs string, last int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(logs), "\n")
	first := last - len(lines) + 1
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf("line %d ", first+i)) {
			t.Errorf("line %d of %d that end with line %d is %.40q", i+1, len(lines), last, line)
			return
		}
	}
	if len(lines) < 500 {
		t.Errorf("only the last %d lines are there", len(lines))
	}
}

// TestLogsWithEveryFlag reads the logs of a pod of two containers, one of which was restarted.
func TestLogsWithEveryFlag(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(`{apiVersion: v1, kind: Pod, metadata: {name: pair}, spec: {
  initContainers: [{name: init, image: "busybox:1", command: [echo, prepared]}],
  containers: [
    {name: one, image: "busybox:1", command: [sh, -c, "touch /v/runs; echo run of $(cat /v/runs | wc -l); echo x >> /v/runs; echo oops >&2; [ $(cat /v/runs | wc -l) = 2 ] || exit 3; trap 'exit 0' TERM; while :; do sleep 0.1; done"],
     volumeMounts: [{name: v, mountPath: /v}]},
    {name: two, image: "busybox:1", command: [sh, -c, "echo early; sleep 2; date -Iseconds; echo late; trap 'exit 0' TERM; while :; do sleep 0.1; done"]}],
  volumes: [{name: v, emptyDir: {}}]}}`)
	n.Kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/pair", "--timeout=60s")
	n.Kubectl("wait", "--for=condition=Ready", "pod/pair", "--timeout=60s")
	n.Follow("kubectl", "logs", "-f", "pair", "-c", "two").Until("late")
	stamped := strings.Split(n.Kubectl("logs", "pair", "-c", "two", "--timestamps"), "\n")
	stamp := regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z) early$`).FindStringSubmatch(stamped[0])
	if stamp == nil {
		t.Fatalf("--timestamps: %q", stamped)
	}
	early, err := time.Parse(time.RFC3339Nano, stamp[1])
	if err != nil {
		t.Fatal(err)
	}
	after := early.Truncate(time.Second).Add(time.Second).Format(time.RFC3339)
	for args, want := range map[string]string{
		"pair -c one --previous":                     "oops\nrun of 0\n",
		"pair -c one":                                "oops\nrun of 1\n",
		"pair -c two --tail=1":                       "late\n",
		"pair -c two --limit-bytes=3":                "ear\n",
		"pair -c two --tail=1 --since-time=" + after: "late\n",
		"pair -c init":                               "prepared\n",
	} {
		n.Eventually(func() error { return logsAre(n, args, want) })
	}
	has(t, "--all-containers", n.Kubectl("logs", "pair", "--all-containers", "--prefix", "--since=1h"),
		"[pod/pair/init] prepared\n", "[pod/pair/one] run of 1\n", "[pod/pair/two] late\n")
	if got := n.Kubectl("logs", "pair", "-c", "two", "--since-time="+after); strings.Contains(got, "early") || !strings.Contains(got, "late") {
		t.Errorf("--since-time after the first line: %q", got)
	}
	if got := n.Kubectl("logs", "pair", "-c", "two", "--since=1h"); !strings.HasPrefix(got, "early\n") {
		t.Errorf("--since=1h: %q", got)
	}
	for stream, want := range map[string]string{"Stdout": "run of 1\n", "Stderr": "oops\n", "All": "oops\nrun of 1\n"} {
		if got := n.Kubectl("get", "--raw", "/api/v1/namespaces/default/pods/pair/log?container=one&stream="+stream); sorted(got) != want {
			t.Errorf("stream %s: %q, want %q", stream, got, want)
		}
	}
}

// logsAre compares what kubectl logs prints. A container that has just been started may not have written anything yet.
func logsAre(n *harness.Node, args, want string) error {
	if r := n.TryKubectl(append([]string{"logs"}, strings.Fields(args)...)...); sorted(r.Stdout) != want {
		return fmt.Errorf("kubectl logs %s: %q, want %q", args, r.Output(), want)
	}
	return nil
}

func logsSay(n *harness.Node, pod, want string) error {
	if r := n.TryKubectl("logs", pod); !strings.Contains(r.Stdout, want) {
		return fmt.Errorf("logs of %s: %q, want %q", pod, r.Output(), want)
	}
	return nil
}

// sorted orders lines: two streams of a container have no order between them.
func sorted(lines string) string {
	list := strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
	slices.Sort(list)
	return strings.Join(list, "\n") + "\n"
}
