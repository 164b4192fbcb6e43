package vm

import (
	"strings"
	"testing"
)

// TestANodeIsInstalledUnderOpenRC is what the owner of a device without systemd does. It has both versions of cgroups, as Debian's OpenRC
// mounts them, and then the second alone, as later ones do.
func TestANodeIsInstalledUnderOpenRC(t *testing.T) {
	m := New(t, 1, nil)
	m.WithOpenRC()
	m.Boot()
	before := m.Run(openRCState)
	m.Run("/tools/covey install --node-name shop")
	m.Eventually("covey image load /tools/busybox.tar", always) // covey may not serve yet
	m.Write("/root/web.yaml", strings.Replace(manifest, "replicas: 2", "replicas: 1", 1))
	m.Run("covey apply -f /root/web.yaml")
	m.Eventually(ready, exactly("1"))
	m.Write("/etc/rc.conf", "rc_cgroup_mode=unified\nrc_cgroup_cleanup=yes") // the latter is to end no containers
	m.Run("sync")
	m.PowerCut()
	m.Boot()
	m.Eventually(ready, exactly("1"))
	m.Eventually(greetAll, saying("here"))

	pid := m.Eventually(servers, lines(1))
	if limits := m.Run("grep 'Max processes' /proc/" + strings.TrimSpace(pid) + "/limits"); strings.Count(limits, "unlimited") != 2 {
		t.Errorf("a container has the limits of the machine's services:\n%s", limits)
	}
	if score := m.Run("cat /proc/$(pgrep -x covey)/oom_score_adj"); strings.TrimSpace(score) != "-999" {
		t.Errorf("the kernel weighs covey with %s when memory is short", score)
	}
	m.Run("rc-service covey status")
	first := m.Run("pgrep -x covey")
	m.Run("pkill -KILL -x covey")
	m.Eventually("pgrep -x covey", func(pid string) bool { return pid != first })
	m.Run("rc-service covey status")
	m.Eventually(ready, exactly("1"))
	goOn(m, pid)
	m.Run("rc-service covey stop")
	isStopped(m)
	m.Run("touch /var/lib/covey/left && rc-service covey start") // a node that has left its cluster
	isStopped(m)
	m.Run("rm /var/lib/covey/left && rc-service covey start && /tools/covey install")
	m.Eventually(ready, exactly("1"))
	goOn(m, pid)

	m.Run("covey uninstall --purge")
	if after := m.Run(openRCState); after != before {
		t.Errorf("the machine was\n%s\nand is\n%s", before, after)
	}
}

// openRCState shows all that covey may have on a machine with OpenRC.
const openRCState = machineHas + `
find /sys/fs/cgroup -name '*covey*'
ls /etc/init.d /etc/runlevels/* /var/log /run/openrc/started /run/openrc/daemons`

// isStopped waits until the service is, and nobody is there who could start covey again.
func isStopped(m *Machine) {
	m.t.Helper()
	m.Eventually("rc-service covey status || echo status $?; pgrep -x covey; pgrep -f '^supervise-daemon covey'; true", func(out string) bool {
		return strings.HasSuffix(out, "status 3\n")
	})
}
