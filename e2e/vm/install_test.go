package vm

import (
	"strings"
	"testing"
)

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: busybox:1
        command: [sh, -c, "echo here > /scratch/index.html; exec httpd -f -p 8080 -h /scratch"]
        resources: {limits: {memory: 32Mi, cpu: 200m}}
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1, timeoutSeconds: 30}
        volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {medium: Memory}}]
`

const ready = `covey get deployment web -o jsonpath='{.status.readyReplicas}'`

func two(out string) bool { return strings.TrimSpace(out) == "2" }

// servers are the processes of the containers; for a moment there may be more, as each forks for a connection.
const servers = "pgrep -x httpd | sort"

func lines(count int) func(string) bool {
	return func(out string) bool { return strings.Count(out, "\n") == count }
}

// goOn checks that the containers' processes are the same as before.
func goOn(m *Machine, pids string) {
	m.t.Helper()
	m.t.Logf("the processes are to be still\n%s", pids)
	m.Eventually(servers, func(now string) bool { return now == pids })
}

// TestANodeIsInstalledSurvivesAPowerCutAndGoes is what its owner does with one device.
func TestANodeIsInstalledSurvivesAPowerCutAndGoes(t *testing.T) {
	m := New(t, 1, nil, "kubectl")
	m.Boot()
	before := m.Run(machineState)
	m.Run("/tools/covey check")
	m.Run("/tools/covey install --node-name shop --pod-max-pids 200 --eviction-pressure-transition-period " + transition)
	m.Run("covey image load /tools/busybox.tar")
	m.Write("/root/web.yaml", manifest)
	m.Run("covey apply -f /root/web.yaml")
	m.Eventually(ready, two)
	lookAtTheCgroups(t, m)
	pids := m.Eventually(servers, lines(2))

	takeItsMemory(t, m)
	askTheKernel(t, m)
	showThatItHasMemory(m)
	goOn(m, pids)
	m.Run("systemctl kill --kill-who=main -s KILL covey")
	m.Eventually("systemctl show -p NRestarts covey", func(out string) bool { return strings.TrimSpace(out) != "NRestarts=0" })
	m.Eventually("systemctl is-active covey", func(out string) bool { return strings.TrimSpace(out) == "active" })
	m.Eventually(ready, two)
	goOn(m, pids)
	m.Run("systemctl stop covey")
	goOn(m, pids)
	m.Run("systemctl start covey")
	m.Eventually(ready, two)
	goOn(m, pids)
	m.Run("/tools/covey install")
	m.Eventually(ready, two)
	goOn(m, pids)

	m.Run("covey scale deployment web --replicas=3 && covey scale deployment web --replicas=2")
	m.PowerCut()
	m.Boot()
	m.Eventually(ready, two)
	m.Eventually(greetAll, func(out string) bool { return strings.Count(out, "here") == 2 })

	m.Run("systemctl stop covey && touch /var/lib/covey/left") // as of a node that has left its cluster
	if out := m.Run("covey install 2>&1 || echo it ends with $?"); !strings.Contains(out, "to have it join one again, remove /var/lib/covey/left") || !strings.Contains(out, "it ends with 1") {
		t.Errorf("an installation that fails says\n%s", out)
	}
	m.Run("covey uninstall --purge")
	if after := m.Run(machineState); after != before {
		t.Errorf("the machine was\n%s\nand is\n%s", before, after)
	}
}

// machineState shows all that covey may have on a machine.
const machineState = machineHas + `
find /sys/fs/cgroup -maxdepth 1 -type d | sort`

const machineHas = `
findmnt -rno TARGET | grep -v -e ^/proc -e ^/sys -e ^/dev -e ^/run/user -e ^/run/credentials | sort
ip -o link | cut -d: -f2 | sort
ip route
nft list ruleset
ls /usr/local/bin /etc/systemd/system/multi-user.target.wants /run/covey /etc/covey /var/lib/covey 2>&1
pgrep -l 'covey|shim|httpd' || true`
