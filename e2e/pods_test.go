package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

func TestConfigurationReachesThePod(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Kubectl("create", "configmap", "conf", "--from-literal=colour=blue", "--from-literal=size=big")
	n.Kubectl("create", "secret", "generic", "pass", "--from-literal=word=swordfish")
	n.Apply(pod("p", `
  volumes:
  - {name: conf, configMap: {name: conf, items: [{key: size, path: deep/size, mode: 0400}]}}
  - {name: pass, secret: {secretName: pass, defaultMode: 0440}}
  - {name: own, emptyDir: {}}
  - name: all
    projected:
      sources:
      - configMap: {name: conf}
      - secret: {name: pass}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
  containers:
  - name: c
    image: busybox:1
    command: [sleep, "3600"]
    env:
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: conf, key: colour}}}
    - {name: WORD, valueFrom: {secretKeyRef: {name: pass, key: word}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: BOTH, value: $(COLOUR)-$(WORD)}
    envFrom: [{prefix: C_, configMapRef: {name: conf}}]
    volumeMounts:
    - {name: conf, mountPath: /conf}
    - {name: pass, mountPath: /pass, readOnly: true}
    - {name: all, mountPath: /all}
    - {name: conf, mountPath: /one, subPath: deep/size}
    - {name: own, mountPath: /conf/own}
    - {name: own, mountPath: /conf/deep/own}
    - {name: pass, mountPath: /conf/word, subPath: word}
    terminationMessagePath: /conf/end`))
	p := n.Pod("app=p", harness.Ready)
	sh := func(script string) string { t.Helper(); return n.Kubectl("exec", "p", "--", "sh", "-c", script) }
	has(t, "environment", sh("env"), "COLOUR=blue\n", "WORD=swordfish\n", "NODE=node-1\n", "BOTH=blue-swordfish\n", "C_size=big\n", "POD_IP="+p.Status.PodIP)
	has(t, "config map volume", sh("cat /conf/deep/size; stat -L -c %a /conf/deep/size; cat /one"), "big", "400\n")
	has(t, "secret volume", sh("cat /pass/word; stat -L -c %a /pass/word"), "swordfish", "440\n")
	has(t, "projected volume", sh("cat /all/colour /all/word /all/labels"), "blue", "swordfish", `app="p"`)
	has(t, "mounts in the config map volume", sh("echo mine > /conf/own/file; cat /conf/deep/own/file /conf/word; echo end > /conf/end"), "mine\nswordfish")
	for _, file := range []string{"/pass/x", "/conf/x", "/conf/deep/x", "/conf/word", "/all/x", "/one"} {
		if r := n.TryKubectl("exec", "p", "--", "sh", "-c", "echo > "+file); r.Code == 0 {
			t.Errorf("%s can be written to", file)
		}
	}
	n.Kill()
	n.Start()
	n.Kubectl("patch", "configmap", "conf", "-p", `{"data":{"size":"small"}}`)
	n.Eventually(func() error {
		if got := n.TryKubectl("exec", "p", "--", "cat", "/conf/deep/size").Stdout; got != "small" {
			return fmt.Errorf("the volume has %q after its config map was changed, want %q", got, "small")
		}
		return nil
	})
	has(t, "mounts in the changed volume", sh("cat /conf/own/file /conf/word"), "mine\nswordfish")
}

func TestAPodWaitsForItsConfiguration(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("p", `
  containers:
  - {name: c, image: "busybox:1", command: [sleep, "3600"], envFrom: [{configMapRef: {name: later}}]}`))
	watch := n.Follow("kubectl", "get", "pods", "-w")
	watch.Until("CreateContainerConfigError")
	n.Eventually(func() error { return contain(n.Kubectl("describe", "pod", "p"), `configmap "later" not found`) })
	n.Kubectl("create", "configmap", "later", "--from-literal=A=b")
	n.Pod("app=p", harness.Ready)
	has(t, "environment", n.Kubectl("exec", "p", "--", "env"), "A=b")
}

func TestVolumesAndInitContainers(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	host := filepath.Join(n.Dir, "host")
	if err := os.Mkdir(host, 0o777); err != nil {
		t.Fatal(err)
	}
	n.Apply(pod("p", fmt.Sprintf(`
  volumes:
  - {name: work, emptyDir: {}}
  - {name: fast, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: host, hostPath: {path: %q, type: Directory}}
  initContainers:
  - {name: one, image: "busybox:1", command: [sh, -c, "echo one > /work/order"], volumeMounts: [{name: work, mountPath: /work}]}
  - {name: two, image: "busybox:1", command: [sh, -c, "echo two >> /work/order"], volumeMounts: [{name: work, mountPath: /work}]}
  containers:
  - name: writer
    image: busybox:1
    command: [sh, -c, "cp /work/order /host/; echo three >> /work/order; sleep 3600"]
    volumeMounts: [{name: work, mountPath: /work}, {name: host, mountPath: /host}, {name: fast, mountPath: /fast}]
  - name: reader
    image: busybox:1
    command: [sleep, "3600"]
    volumeMounts: [{name: work, mountPath: /work, readOnly: true}]`, host)))
	p := n.Pod("app=p", harness.Ready)
	for _, c := range p.Status.InitContainerStatuses {
		if c.State.Terminated == nil || c.State.Terminated.Reason != "Completed" {
			t.Errorf("init container %s: %v", c.Name, c.State)
		}
	}
	n.Eventually(func() error {
		if got := n.Kubectl("exec", "p", "-c", "reader", "--", "cat", "/work/order"); got != "one\ntwo\nthree\n" {
			return fmt.Errorf("the shared volume has %q", got)
		}
		return nil
	})
	if got, err := os.ReadFile(filepath.Join(host, "order")); err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("on the host: %q %v", got, err)
	}
	if r := n.TryKubectl("exec", "p", "-c", "writer", "--", "dd", "if=/dev/zero", "of=/fast/x", "bs=64k", "count=64"); r.Code == 0 {
		t.Error("an emptyDir in memory holds more than its sizeLimit")
	}
	// Both containers share the network namespace.
	n.Kubectl("exec", "p", "-c", "writer", "--", "sh", "-c", "echo hi > /tmp/index.html 2>/dev/null || mkdir -p /tmp && echo hi > /tmp/index.html; httpd -p 127.0.0.1:8080 -h /tmp")
	has(t, "localhost", n.Kubectl("exec", "p", "-c", "reader", "--", "wget", "-qO-", "http://127.0.0.1:8080/"), "hi")
}

func TestAFailingInitContainerHoldsThePodBack(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("p", `
  restartPolicy: Never
  initContainers:
  - {name: fails, image: "busybox:1", command: [sh, -c, "echo no >&2; exit 4"], terminationMessagePolicy: FallbackToLogsOnError}
  containers:
  - {name: c, image: "busybox:1", command: [sleep, "3600"]}`))
	p := n.Pod("app=p", harness.Phase(corev1.PodFailed))
	state := p.Status.InitContainerStatuses[0].State.Terminated
	if state == nil || state.ExitCode != 4 || state.Message != "no\n" {
		t.Errorf("init container: %v", p.Status.InitContainerStatuses[0].State)
	}
	has(t, "get", n.Kubectl("get", "pod", "p"), "Init:Error")
	if p.Status.ContainerStatuses[0].State.Waiting == nil {
		t.Errorf("the container began: %v", p.Status.ContainerStatuses[0].State)
	}
}

func TestSecurityContext(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("p", `
  securityContext: {runAsUser: 1234, runAsGroup: 2345, fsGroup: 3456, supplementalGroups: [4567]}
  volumes: [{name: work, emptyDir: {}}]
  containers:
  - name: c
    image: busybox:1
    command: [sleep, "3600"]
    securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: work, mountPath: /work}]
  - name: root
    image: busybox:1
    command: [sleep, "3600"]
    securityContext: {runAsUser: 0, capabilities: {add: [NET_ADMIN], drop: [CHOWN]}}`))
	n.Pod("app=p", harness.Ready)
	sh := func(container, script string) string {
		t.Helper()
		return n.Kubectl("exec", "p", "-c", container, "--", "sh", "-c", script)
	}
	has(t, "id", sh("c", "id"), "uid=1234", "gid=2345", "3456", "4567")
	has(t, "status", sh("c", "cat /proc/self/status"), "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "Seccomp:\t2")
	if r := n.TryKubectl("exec", "p", "-c", "c", "--", "touch", "/x"); r.Code == 0 || !strings.Contains(r.Stderr, "Read-only file system") {
		t.Errorf("the root is not read-only: %+v", r)
	}
	has(t, "the volume's group", sh("c", "touch /work/x && stat -c %g /work/x"), "3456")
	has(t, "id", sh("root", "id -u"), "0")
	sh("root", "ip link add type veth && ip link del veth0") // needs NET_ADMIN
	if r := n.TryKubectl("exec", "p", "-c", "root", "--", "sh", "-c", "touch /y && chown 7 /y"); r.Code == 0 {
		t.Error("a dropped capability is there")
	}
	n.Apply(pod("q", `
  containers:
  - {name: c, image: "busybox:1", command: [sleep, "3600"], securityContext: {runAsNonRoot: true}}`))
	n.Pod("app=q", func(p *corev1.Pod) error {
		if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Waiting == nil ||
			p.Status.ContainerStatuses[0].State.Waiting.Reason != "CreateContainerConfigError" {
			return fmt.Errorf("an image that runs as root was not held back")
		}
		return nil
	})
}

func TestResources(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(pod("p", `
  containers:
  - {name: c, image: "busybox:1", command: [sleep, "3600"], resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 250m}}}`))
	p := n.Pod("app=p", harness.Ready)
	if p.Status.QOSClass != corev1.PodQOSBurstable {
		t.Errorf("QoS class %s", p.Status.QOSClass)
	}
	pid := n.Processes(p)[0]
	for _, want := range []struct{ controller, v1, v2, value1, value2 string }{
		{"memory", "memory.limit_in_bytes", "memory.max", "67108864", "67108864"},
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000"},
		{"cpu", "cpu.shares", "", "256", ""},
	} {
		harness.HasLimit(t, pid, want.controller, want.v1, want.v2, want.value1, want.value2)
	}
	n.Apply(pod("greedy", `
  restartPolicy: Never
  containers:
  - {name: c, image: "busybox:1", command: [sh, -c, "x=0123456789; while :; do x=$x$x; done"], resources: {limits: {memory: 16Mi}}}`))
	greedy := n.Pod("app=greedy", harness.Phase(corev1.PodFailed))
	if state := greedy.Status.ContainerStatuses[0].State.Terminated; state == nil || state.Reason != "OOMKilled" || state.ExitCode != 137 {
		t.Errorf("state %v, want OOMKilled with 137", greedy.Status.ContainerStatuses[0].State)
	}
	has(t, "get", n.Kubectl("get", "pod", "greedy"), "OOMKilled")
}

func TestAPodThatFitsNowhereSaysWhy(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, "--label", "disk=ssd")
	pending := func(name string) string {
		t.Helper()
		var message string
		n.Pod("app="+name, func(p *corev1.Pod) error {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodScheduled && c.Reason == "Unschedulable" {
					message = c.Message
					return nil
				}
			}
			return fmt.Errorf("not said to be unschedulable")
		})
		return message
	}
	container := "\n  containers: [{name: c, image: \"busybox:1\", command: [sleep, \"3600\"]%s}]"
	n.Apply(pod("big", fmt.Sprintf(container, `, resources: {requests: {memory: 900Gi}}`)))
	has(t, "a pod that is too big", pending("big"), "0/1 nodes are available", "memory")
	n.Apply(pod("picky", "  nodeSelector: {disk: tape}"+fmt.Sprintf(container, "")))
	has(t, "a pod with a selector", pending("picky"), "0/1 nodes are available", "node affinity/selector")
	has(t, "its event", n.Kubectl("describe", "pod", "picky"), "FailedScheduling")
	n.Apply(pod("fits", "  nodeSelector: {disk: ssd}"+fmt.Sprintf(container, "")))
	n.Pod("app=fits", harness.Ready)

	n.Kubectl("taint", "node", "node-1", "dedicated=db:NoSchedule")
	n.Apply(pod("plain", fmt.Sprintf(container, "")))
	has(t, "a pod that does not tolerate", pending("plain"), "untolerated taint(s)")
	n.Kubectl("label", "node", "node-1", "disk=tape", "--overwrite")
	n.Kubectl("taint", "node", "node-1", "dedicated-")
	n.Pod("app=picky", harness.Ready)
	n.Pod("app=plain", harness.Ready)
}
