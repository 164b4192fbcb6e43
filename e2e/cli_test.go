package e2e

import (
	"os"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestCoveyCommands is covey's own command line through the life of a deployment, as kubectl's is in TestKubectlChanges.
func TestCoveyCommands(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	file := n.File("web.yaml", shell("web", "echo hello; "+sleeps))
	has(t, "apply", n.Covey("apply", "-f", file), "deployment.apps/web")
	has(t, "status", n.Covey("rollout", "status", "deployment/web"), "successfully rolled out")
	name := n.Pod("app=web", harness.Ready).Name
	n.Eventually(func() error { return contain(n.Covey("logs", name), "hello") })
	for _, c := range []struct {
		args string
		want []string
	}{
		{"version", []string{"v"}},
		{"get nodes", []string{"NAME", "node-1", "Ready"}},
		{"get pods", []string{"NAME", "READY", name, "1/1", "Running"}},
		{"get pods,deploy -o wide", []string{"pod/" + name, "deployment.apps/web", "IP"}},
		{"get pods -A", []string{"NAMESPACE", "default"}},
		{"get deploy web -o yaml", []string{"kind: Deployment", "name: web"}},
		{"get deploy web -o json", []string{`"kind": "Deployment"`}},
		{"get pods -l app=web -o name", []string{"pod/" + name}},
		{"describe pod " + name, []string{"Name:", name, "node-1", "Running", "Events:"}},
		{"describe deployment web", []string{"Name:", "web", "Replicas"}},
		{"logs " + name, []string{"hello"}},
		{"logs deployment/web", []string{"hello"}},
		{"exec " + name + " -- hostname", []string{name}},
		{"scale deployment/web --replicas=2", []string{"deployment.apps/web scaled"}},
		{"rollout status deployment/web", []string{"successfully rolled out"}},
		{"rollout history deployment/web", []string{"REVISION"}},
		{"rollout restart deployment/web", []string{"deployment.apps/web restarted"}},
		{"rollout status deployment/web", []string{"successfully rolled out"}},
		{"rollout undo deployment/web", []string{"deployment.apps/web rolled back"}},
		{"rollout status deployment/web", []string{"successfully rolled out"}},
		{"image ls", []string{"hello:1.0", "busybox:1"}},
		{"image rm hello:1.0", []string{"hello:1.0"}},
		{"completion bash", []string{"covey"}},
	} {
		has(t, "covey "+c.args, n.Covey(strings.Fields(c.args)...), c.want...)
	}
	if out := n.Covey("image", "ls"); strings.Contains(out, "hello:1.0") {
		t.Errorf("image ls after rm:\n%s", out)
	}
	tar, err := os.ReadFile(harness.Bin("hello.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if r := n.Pipe(string(tar), "covey", "image", "load", "-"); r.Code != 0 || !strings.Contains(r.Output(), "hello:1.0") {
		t.Errorf("image load -: %s", r.Output())
	}
	if r := n.Pipe("not an archive", "covey", "image", "load", "-"); r.Code != 1 || r.Stderr == "" {
		t.Errorf("image load of what is no archive: %+v", r)
	}
	if r := n.TryCovey("exec", "deploy/web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"); r.Code != 7 || r.Stdout != "out\n" || !strings.Contains(r.Stderr, "err\n") {
		t.Errorf("exec keeps streams and status apart: %+v", r)
	}
	watch := n.Follow("covey", "get", "pods", "-w")
	watch.Until("web-", "Running")
	has(t, "delete", n.Covey("delete", "-f", file), `deployment.apps "web" deleted`)
	watch.Until("web-", "Terminating")
	n.Kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s")
	if r := n.TryCovey("get", "pods", "nosuch"); r.Code != 1 || !strings.Contains(r.Stderr, `pods "nosuch" not found`) {
		t.Errorf("get of a pod that is not there: %+v", r)
	}
	if r := n.TryCovey("get", "gizmos"); r.Code != 1 || !strings.Contains(r.Stderr, "gizmos") {
		t.Errorf("get of a kind that is not there: %+v", r)
	}
}

func TestCoveyWithoutAServerSaysSo(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	if r := n.TryCovey("get", "pods"); r.Code != 1 || !strings.Contains(r.Stderr, n.Kubeconfig()) {
		t.Errorf("without a kubeconfig: %+v", r)
	}
	n.Start()
	n.Kill()
	if r := n.TryCovey("get", "pods"); r.Code != 1 || !strings.Contains(r.Stderr, harness.Address) || !strings.Contains(r.Stderr, "refused") {
		t.Errorf("without a server: %+v", r)
	}
}

func TestTwoNodesCannotShareADirectory(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	r := n.TryCovey("start", "--data-dir", n.DataDir, "--state-dir", n.StateDir, "--listen", "127.0.0.1:7444")
	if r.Code != 1 || !strings.Contains(r.Stderr, n.DataDir) {
		t.Errorf("a second covey on the same directory: %+v", r)
	}
	n.Kubectl("get", "nodes") // the first goes on
}

func TestStartRefusesBadFlags(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	for flag, value := range map[string]string{
		"--listen": "nonsense", "--node-name": "Not A Name", "--advertise": "nowhere", "--log-level": "loud", "--log-format": "xml",
		"--label": "a=b c", "--state-dir": "/tmp/" + strings.Repeat("long", 30),
	} {
		args := []string{"start", "--data-dir", n.DataDir, "--state-dir", n.StateDir, flag, value}
		if r := n.TryCovey(args...); r.Code != 1 || !strings.Contains(r.Stderr, flag) {
			t.Errorf("%s %s: %+v", flag, value, r)
		}
	}
}
