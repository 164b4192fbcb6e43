package vm

import (
	"regexp"
	"strings"
	"testing"
)

// lookAtTheCgroups checks on cgroup v2 that the containers of the two pods have the limits they ask for, and that what they use is told.
func lookAtTheCgroups(t *testing.T, m *Machine) {
	t.Helper()
	limits := m.Run(`cd /sys/fs/cgroup/covey-* && for pod in pod*; do
		for c in "$pod"/*/; do echo $(cat $pod/pids.max $c/memory.max $c/memory.swap.max $c/cpu.max $c/cpu.weight); done; done`)
	// A fifth of a core weighs less than the 100 of a whole one.
	pod := regexp.MustCompile(`(?m)^200 33554432 0 20000 100000 [1-9][0-9]?$`)
	if n := len(pod.FindAllString(limits, -1)); n < 2 || n != strings.Count(limits, "\n") { // more where one was started anew
		t.Errorf("%d containers of two pods have their limits:\n%s", n, limits)
	}

	const kubectl = "/tools/kubectl --kubeconfig /var/lib/covey/admin.kubeconfig "
	pods := regexp.MustCompile(`(?m)^web-\S+ +\d+m +\d+Mi *$`)
	m.Eventually(kubectl+"top pods", func(out string) bool { return len(pods.FindAllString(out, -1)) == 2 })
	m.Eventually(kubectl+"top nodes", regexp.MustCompile(`(?m)^shop +[1-9]\d*m +\d+% +[1-9]\d*Mi +[1-9]\d*% *$`).MatchString)
	metrics := m.Run(kubectl + "get --raw /metrics | grep -e ^container_cpu_usage -e ^container_memory")
	for _, name := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"} {
		told := 0
		for line := range strings.Lines(metrics) {
			if strings.HasPrefix(line, name) && strings.Contains(line, `container="web"`) && !strings.HasSuffix(line, " 0\n") {
				told++
			}
		}
		if told != 2 {
			t.Errorf("%s of %d of two containers is told:\n%s", name, told, metrics)
		}
	}
}
