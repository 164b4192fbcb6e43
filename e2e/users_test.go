package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestPodsWithUsersOfTheirOwn has pods whose root is nobody on the machine.
func TestPodsWithUsersOfTheirOwn(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	hostDir := t.TempDir()
	if err := os.WriteFile(filepath.Join(hostDir, "given"), []byte("from the machine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Kubectl("create", "configmap", "settings", "--from-literal=mode=quiet")
	n.Kubectl("create", "secret", "generic", "pass", "--from-literal=word=swordfish")
	for _, name := range []string{"first", "second"} {
		n.Apply(pod(name, `
  hostUsers: false
  shareProcessNamespace: `+strconv.FormatBool(name == "second")+`
  securityContext: {fsGroup: 3000, sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "81"}]}
  volumes:
  - {name: scratch, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: settings, configMap: {name: settings}}
  - {name: pass, secret: {secretName: pass}}
  - {name: machine, hostPath: {path: `+hostDir+`}}
  containers:
  - name: c
    image: busybox:1
    command: [sh, -c, "echo mine > /scratch/`+name+`; echo mine > /memory/m; echo over > /bin/over; echo to /dev/stdout > /dev/stdout; exec sleep 4711"]
    securityContext: {procMount: Unmasked}
    volumeMounts: [{name: scratch, mountPath: /scratch}, {name: memory, mountPath: /memory}, {name: settings, mountPath: /settings}, {name: pass, mountPath: /pass}, {name: machine, mountPath: /machine}]`))
	}
	firsts := map[string]string{}
	for _, name := range []string{"first", "second"} {
		p := n.Pod("app="+name, harness.Ready)
		n.Eventually(func() error { return logsAre(n, name, "to /dev/stdout\n") })
		in := func(script string) string { return n.Kubectl("exec", name, "--", "sh", "-c", script) }
		ids := strings.Fields(in("cat /proc/self/uid_map"))
		if len(ids) != 3 || ids[0] != "0" || ids[1] == "0" || ids[2] != "65536" {
			t.Fatalf("%s has the users %v", name, ids)
		}
		firsts[ids[1]] = name
		has(t, name, in("id -u; cat /settings/mode /pass/word /machine/given /memory/m /bin/over; stat -c '%n %u:%g' /bin/busybox /scratch/"+name+" /machine/given /etc/hosts; hostname; ping -c 1 -W 5 "+p.Status.PodIP),
			"0\nquietswordfish", "from the machine\n", "mine\n", "over\n", "/bin/busybox 0:0\n", "/scratch/"+name+" 0:3000\n", "/machine/given 0:0\n", "/etc/hosts 0:0\n", name+"\n", "1 packets received")
		in("echo back > /machine/" + name)
		owns(t, filepath.Join(hostDir, name), 0)
		for _, pids := range n.Running()[string(p.UID)] {
			for _, pid := range pids {
				first, _ := strconv.Atoi(ids[1])
				owns(t, fmt.Sprintf("/proc/%d", pid), uint32(first))
			}
		}
	}
	if len(firsts) != 2 {
		t.Errorf("the pods have the same users: %v", firsts)
	}

	n.Kill()
	n.Start()
	n.Pod("app=second", harness.Ready)
	n.Kubectl("exec", "second", "--", "cat", "/settings/mode")
	has(t, "of both", n.Kubectl("exec", "second", "--", "ps"), "covey-init", "sleep 4711")
}

// owns checks who has a file of the machine.
func owns(t *testing.T, path string, uid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
	} else if got := info.Sys().(*syscall.Stat_t).Uid; got != uid {
		t.Errorf("%s belongs to %d, want %d", path, got, uid)
	}
}
