package e2e

import (
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestKubectlLooks is kubectl's reading commands, on one node.
func TestKubectlLooks(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", "echo hello from $HOSTNAME; "+sleeps))
	n.Kubectl("rollout", "status", "deployment/web")
	name := n.Pod("app=web", harness.Ready).Name
	n.Eventually(func() error { return logsSay(n, name, "hello") })

	for _, c := range []struct {
		args string
		want []string
	}{
		{"version", []string{"Client Version: v1.37", "Server Version: v1.37"}},
		{"api-resources", []string{"deployments", "deploy", "apps/v1", "replicasets", "configmaps", "secrets", "serviceaccounts", "events", "namespaces", "nodes"}},
		{"api-resources --namespaced=false -o name", []string{"namespaces", "nodes"}},
		{"api-versions", []string{"apps/v1", "\nv1\n"}},
		{"get nodes", []string{"NAME", "STATUS", "ROLES", "VERSION", "node-1", "Ready", "control-plane"}},
		{"get ns", []string{"default", "Active"}},
		{"get all", []string{"pod/" + name, "deployment.apps/web", "replicaset.apps/web-"}},
		{"get pods", []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE", "1/1", "Running"}},
		{"get pods -o wide", []string{"IP", "NODE", "node-1"}},
		{"get pods -A --show-labels", []string{"NAMESPACE", "default", "app=web"}},
		{"get pods -l app=web -o name", []string{"pod/" + name}},
		{"get pods --field-selector status.phase=Running -o name", []string{"pod/" + name}},
		{"get pods --sort-by .metadata.name", []string{name}},
		{"get pod " + name + " -o yaml", []string{"kind: Pod", "  name: " + name, "phase: Running", "containerID: containerd://"}},
		{"get pod " + name + " -o jsonpath={.spec.nodeName}", []string{"node-1"}},
		{"get deployments -o wide", []string{"READY", "UP-TO-DATE", "AVAILABLE", "1/1", "busybox:1", "app=web"}},
		{"get rs", []string{"DESIRED", "CURRENT", "READY"}},
		{"get deploy web -o custom-columns=N:.metadata.name,R:.status.readyReplicas", []string{"web", "1"}},
		{"get events", []string{"Scheduled", "Created", "Started", "SuccessfulCreate", "ScalingReplicaSet"}},
		{"describe pod " + name, []string{"Node:", "node-1", "Controlled By:", "ReplicaSet/web-", "State:", "Running", "Successfully assigned default/" + name}},
		{"describe deployment web", []string{"Replicas:", "1 desired | 1 updated | 1 total | 1 available", "NewReplicaSet:", "Scaled up replica set"}},
		{"describe rs", []string{"Controlled By:", "Deployment/web", "1 current / 1 desired"}},
		{"describe node node-1", []string{"Capacity:", "Allocatable:", "InternalIP:", "Ready", "Non-terminated Pods:", name}},
		{"describe ns default", []string{"Status:", "Active"}},
		{"explain deployment.spec.strategy", []string{"FIELDS:", "rollingUpdate", "type"}},
		{"explain pod.spec.containers.livenessProbe --recursive", []string{"httpGet", "periodSeconds"}},
		{"logs " + name, []string{"hello from " + name}},
		{"logs deployment/web", []string{"hello from " + name}},
		{"logs -l app=web --prefix", []string{"[pod/" + name + "/c] hello from"}},
		{"logs " + name + " --timestamps", []string{"Z hello from"}},
		{"exec " + name + " -- hostname", []string{name}},
		{"auth can-i create deployments", []string{"yes"}},
		{"auth whoami", []string{"covey-admin", "system:masters"}},
		{"wait --for=condition=Available deployment/web --timeout=10s", []string{"deployment.apps/web condition met"}},
		{"rollout history deployment/web", []string{"REVISION", "1"}},
	} {
		has(t, "kubectl "+c.args, n.Kubectl(strings.Fields(c.args)...), c.want...)
	}
	if r := n.TryKubectl("exec", name, "--", "sh", "-c", "echo out; echo err >&2; exit 7"); r.Code != 7 || r.Stdout != "out\n" || !strings.HasPrefix(r.Stderr, "err\n") {
		t.Errorf("exec keeps streams and status apart: %+v", r)
	}
	if r := n.Pipe("typed", "kubectl", "exec", "-i", name, "--", "cat"); r.Stdout != "typed" {
		t.Errorf("exec -i: %+v", r)
	}
	if r := n.TryKubectl("get", "pods", "nosuch"); r.Code != 1 || !strings.Contains(r.Stderr, `pods "nosuch" not found`) {
		t.Errorf("get of a pod that is not there: %+v", r)
	}
	if r := n.TryKubectl("get", "cronjobs"); r.Code != 1 || !strings.Contains(r.Stderr, "the server doesn't have a resource type") {
		t.Errorf("get of a kind that is not there: %+v", r)
	}
}

// TestKubectlChanges is kubectl's writing commands, in the order of a deployment's life.
func TestKubectlChanges(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	manifest := shell("web", sleeps)
	has(t, "diff of a new object", n.Pipe(manifest, "kubectl", "diff", "-f", "-").Stdout, "+kind: Deployment")
	has(t, "apply", n.Apply(manifest), "deployment.apps/web created")
	n.Kubectl("rollout", "status", "deployment/web")
	if r := n.Pipe(manifest, "kubectl", "diff", "-f", "-"); r.Code != 0 {
		t.Errorf("diff after apply: %s", r.Output())
	}
	has(t, "apply again", n.Apply(manifest), "deployment.apps/web unchanged")
	has(t, "dry run", n.Kubectl("scale", "deployment/web", "--replicas=7", "--dry-run=server"), "(server dry run)")

	watch := n.Follow("kubectl", "get", "pods", "-w", "--no-headers")
	watch.Until("web-", "1/1")
	has(t, "scale", n.Kubectl("scale", "deployment/web", "--replicas=3"), "deployment.apps/web scaled")
	n.Kubectl("rollout", "status", "deployment/web")
	has(t, "get", n.Kubectl("get", "deployment", "web"), "3/3")
	watch.Until("web-", "1/1", "Running")
	n.Kubectl("scale", "deployment/web", "--replicas=1", "--current-replicas=3")
	watch.Until("web-", "Terminating")

	n.Kubectl("set", "env", "deployment/web", "GREETING=hi")
	n.Kubectl("rollout", "status", "deployment/web")
	has(t, "exec", n.Kubectl("exec", "deploy/web", "--", "sh", "-c", "echo $GREETING"), "hi\n")
	has(t, "set image", n.Kubectl("set", "image", "deployment/web", "c=busybox:2"), "deployment.apps/web image updated")
	n.Follow("kubectl", "get", "pods", "-w").UntilFunc("the pull that fails", func(line string) bool {
		return strings.Contains(line, "ImagePullBackOff") || strings.Contains(line, "ErrImagePull")
	})
	has(t, "history", n.Kubectl("rollout", "history", "deployment/web"), "1", "2", "3")
	has(t, "history of one revision", n.Kubectl("rollout", "history", "deployment/web", "--revision=3"), "busybox:2")
	has(t, "undo", n.Kubectl("rollout", "undo", "deployment/web"), "deployment.apps/web rolled back")
	has(t, "status", n.Kubectl("rollout", "status", "deployment/web"), "successfully rolled out")
	has(t, "undo's image", n.Kubectl("get", "deployment", "web", "-o", "wide"), "busybox:1")
	has(t, "restart", n.Kubectl("rollout", "restart", "deployment/web"), "deployment.apps/web restarted")
	n.Kubectl("rollout", "status", "deployment/web")
	n.Kubectl("rollout", "pause", "deployment/web")
	n.Kubectl("rollout", "resume", "deployment/web")

	n.Kubectl("label", "deployment", "web", "tier=front")
	n.Kubectl("annotate", "deployment", "web", "note=x")
	n.Kubectl("patch", "deployment", "web", "-p", `{"spec":{"minReadySeconds":1}}`)
	n.Kubectl("patch", "deployment", "web", "--type=json", "-p", `[{"op":"replace","path":"/spec/minReadySeconds","value":0}]`)
	has(t, "labels", n.Kubectl("get", "deploy", "-l", "tier=front", "-o", "name"), "deployment.apps/web")
	has(t, "delete", n.Pipe(manifest, "kubectl", "delete", "-f", "-").Stdout, `deployment.apps "web" deleted`)
	n.Kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s")
	if out := n.Kubectl("get", "all", "-o", "name"); out != "" {
		t.Errorf("left after delete: %s", out)
	}
}

func TestKubectlCreates(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Kubectl("create", "namespace", "shop")
	n.Kubectl("create", "configmap", "conf", "-n", "shop", "--from-literal=a=b", "--from-literal=c=d")
	n.Kubectl("create", "secret", "generic", "pass", "-n", "shop", "--from-literal=word=swordfish")
	n.Kubectl("create", "serviceaccount", "robot", "-n", "shop")
	n.Kubectl("create", "deployment", "idle", "-n", "shop", "--image=busybox:1", "--replicas=2", "--", "sh", "-c", sleeps)
	n.Kubectl("rollout", "status", "deployment/idle", "-n", "shop")
	has(t, "configmap", n.Kubectl("get", "configmap", "conf", "-n", "shop", "-o", "yaml"), "a: b", "c: d")
	has(t, "secret", n.Kubectl("describe", "secret", "pass", "-n", "shop"), "word:", "9 bytes")
	has(t, "secret", n.Kubectl("get", "secret", "pass", "-n", "shop", "-o", "jsonpath={.data.word}"), "c3dvcmRmaXNo")
	n.Kubectl("run", "once", "-n", "shop", "--image=busybox:1", "--restart=Never", "--", "true")
	n.Kubectl("wait", "-n", "shop", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", "--timeout=60s")
	if r := n.TryKubectl("create", "configmap", "conf", "-n", "shop"); r.Code != 1 || !strings.Contains(r.Stderr, `configmaps "conf" already exists`) {
		t.Errorf("create what is there: %+v", r)
	}
	if r := n.TryKubectl("create", "configmap", "conf", "-n", "nosuch"); r.Code != 1 || !strings.Contains(r.Stderr, `namespaces "nosuch" not found`) {
		t.Errorf("create in a namespace that is not there: %+v", r)
	}
	n.Kubectl("delete", "namespace", "shop", "--timeout=60s")
	for _, kind := range []string{"pods", "deployments", "replicasets", "configmaps", "secrets", "serviceaccounts"} {
		if out := n.Kubectl("get", kind, "-n", "shop", "-o", "name"); out != "" {
			t.Errorf("in a namespace that was deleted: %s", out)
		}
	}
	if r := n.TryKubectl("get", "namespace", "shop"); r.Code == 0 {
		t.Errorf("the namespace is there after its deletion: %s", r.Stdout)
	}
}

// TestKubectlInATerminal is what kubectl exec -it is used for: a shell.
func TestKubectlInATerminal(t *testing.T) {
	for _, program := range []string{"kubectl", "covey"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			n := harness.Start(t)
			n.Apply(shell("web", sleeps))
			name := n.Pod("app=web", harness.Ready).Name
			term := n.Terminal(24, 91, program, "exec", "-it", name, "--", "sh")
			term.Shows("# ")
			term.Type("echo $((6*7)); stty size\r")
			term.Shows("42\r\n")
			term.Shows("24 91")
			term.Resize(30, 77)
			term.Type("until stty size | grep 77; do sleep 0.1; done\r")
			term.Shows("30 77")
			term.Type("echo wait''ing; sleep 1000\r")
			term.Shows("waiting\r\n")
			term.Type("\x03") // Ctrl-C goes to the shell and not to kubectl
			term.Type("exit 5\r")
			if code := term.ExitCode(); code != 5 {
				t.Errorf("exit status %d, want the shell's 5", code)
			}
		})
	}
}

func TestKubectlLogs(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("talker", `for i in 1 2 3; do echo line $i; done; for i in 1 2; do until [ -e /go$i ]; do sleep 0.1; done; [ $i = 1 ] && echo oops >&2; done; echo line 4; `+sleeps))
	name := n.Pod("app=talker", harness.Ready).Name
	follow := n.Follow("kubectl", "logs", "-f", name)
	follow.Until("line 3")
	// What is written to one of the outputs shortly after the other may come before it.
	n.Kubectl("exec", name, "--", "touch", "/go1")
	follow.Until("oops")
	n.Kubectl("exec", name, "--", "touch", "/go2")
	follow.Until("line 4")
	if out := n.Kubectl("logs", name, "--tail=1"); out != "line 4\n" {
		t.Errorf("--tail=1: %q", out)
	}
	has(t, "standard error", n.Kubectl("logs", name), "oops\n")
	if out := n.Kubectl("logs", name, "--since=1h", "--limit-bytes=6"); out != "line 1" {
		t.Errorf("--limit-bytes=6: %q", out)
	}
	if r := n.TryKubectl("logs", name, "-c", "nosuch"); r.Code == 0 || !strings.Contains(r.Stderr, "container nosuch is not valid for pod "+name) {
		t.Errorf("logs of a container that is not there: %+v", r)
	}
	if r := n.TryKubectl("logs", name, "--previous"); r.Code == 0 || !strings.Contains(r.Stderr, "previous terminated container") {
		t.Errorf("logs --previous before any restart: %+v", r)
	}
	n.Kubectl("delete", "pod", name)
	follow.End()
}
