package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cleanUp deletes the node's workload as a user would, stops the node, and fails the test for what is left.
func (n *Node) cleanUp() {
	if n.t.Failed() {
		n.report()
	}
	if _, err := os.Stat(n.Kubeconfig()); err == nil && !n.member {
		n.deleteWorkload()
	}
	n.Stop()
	if left := n.leftovers(); len(left) > 0 {
		n.t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		n.sweep()
	}
}

func (n *Node) deleteWorkload() {
	if n.PID() == 0 {
		if err := n.start(); err != nil {
			n.t.Errorf("start covey again to delete what it runs: %v", err)
			return
		}
		n.connect()
	}
	for _, kinds := range []string{"deployments", "replicasets", "pods"} { // owners first, or they replace what they own
		if r := n.TryKubectl("delete", kinds, "--all", "-A", "--timeout=60s"); r.Code != 0 {
			n.t.Errorf("delete all %s: %s\n%s", kinds, r.Output(), n.logTail())
			return
		}
	}
	n.settled()
}

// settled waits until nothing of the workload is left, and returns what is left after a while. A pod is gone from the API
// when covey has removed what it had on the machine; shims and the kernel need a moment more.
func (n *Node) settled() []string {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		left := n.workload()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// workload is what pods have on the machine.
func (n *Node) workload() []string {
	return slices.Concat(n.mounts(), n.cgroups(), n.processes(), n.links())
}

// leftovers is what a node that was stopped, its pods deleted, should not have on the machine.
func (n *Node) leftovers() []string {
	left := n.workload()
	for _, dir := range []string{filepath.Join(n.DataDir, "pods"), filepath.Join(n.StateDir, "pods")} {
		entries, err := os.ReadDir(dir)
		for _, entry := range entries {
			if err == nil && entry.IsDir() {
				left = append(left, "directory "+filepath.Join(dir, entry.Name()))
			}
		}
	}
	return left
}

func (n *Node) mounts() []string {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var left []string
	for line := range strings.Lines(string(info)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], n.Dir+"/") && (fields[4] != n.DataDir || !n.smallDisk) {
			left = append(left, "mount "+fields[4])
		}
	}
	return left
}

func (n *Node) cgroups() []string {
	var left []string
	for _, pattern := range []string{"/sys/fs/cgroup/covey-", "/sys/fs/cgroup/*/covey-"} {
		dirs, _ := filepath.Glob(pattern + n.Instance() + "*")
		for _, dir := range dirs {
			left = append(left, "cgroup "+dir)
		}
	}
	return left
}

// processes are those that name the test's directory, are in the node's cgroups, or in its network namespace.
func (n *Node) processes() []string {
	var left []string
	for _, pid := range n.pids() {
		left = append(left, fmt.Sprintf("process %d: %s", pid, commandLine(pid)))
	}
	return left
}

func (n *Node) pids() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	namespace := fmt.Sprintf("net:[%d]", n.net.inode())
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || pid == n.PID() {
			continue
		}
		proc := filepath.Join("/proc", entry.Name())
		ns, _ := os.Readlink(filepath.Join(proc, "ns/net"))
		cgroup, _ := os.ReadFile(filepath.Join(proc, "cgroup"))
		if ns == namespace || strings.Contains(commandLine(pid), n.Dir+"/") || strings.Contains(string(cgroup), "/covey-"+n.Instance()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
}

// links are the interfaces in the node's namespace but for lo, the way to other nodes, and covey's bridge and overlay: they go
// with the namespace.
func (n *Node) links() []string {
	out, err := n.net.output(exec.Command("ip", "-o", "link", "show"))
	if err != nil {
		return []string{"ip link: " + err.Error()}
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimSuffix(fields[1], ":"), "@")
		theirs := strings.HasPrefix(name, "cv") && strings.HasSuffix(name, "-"+n.Instance())
		if name != "lo" && name != uplink && !theirs {
			left = append(left, "interface "+name)
		}
	}
	return left
}

// sweep removes what a failed test left, so that it does not disturb the others.
func (n *Node) sweep() {
	for range 2 { // a shim may start something while it is killed
		for _, pid := range n.pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for deadline := time.Now().Add(patience); len(n.pids()) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	mounts := n.mounts()
	slices.Reverse(mounts)
	for _, m := range mounts {
		_ = syscall.Unmount(strings.TrimPrefix(m, "mount "), syscall.MNT_DETACH)
	}
	for _, c := range n.cgroups() {
		root := strings.TrimPrefix(c, "cgroup ")
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, dir := range dirs {
			_ = os.Remove(dir)
		}
	}
}

// report says what a failed test's node looks like.
func (n *Node) report() {
	if n.PID() != 0 && n.Clients != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := n.Clients.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err == nil {
			n.t.Log(n.TryKubectl("get", "nodes,deployments,replicasets,pods", "-A", "-o", "wide").Output())
			n.t.Log(n.TryKubectl("get", "events", "-A").Output())
		}
	}
	n.t.Log(n.logTail())
}

// PowerCut ends all that the node has on the machine at once, and empties the state directory as a reboot does.
func (n *Node) PowerCut() {
	n.t.Helper()
	n.Kill()
	n.sweep()
	_, _ = n.net.output(exec.Command("ip", "link", "delete", "cv-"+n.Instance()))
	if err := os.RemoveAll(n.StateDir); err != nil {
		n.t.Fatal(err)
	}
	if left := n.settled(); len(left) > 0 {
		n.t.Fatalf("after a power cut:\n%s", strings.Join(left, "\n"))
	}
}

// Purge is a PowerCut after which the machine is a new one: it has nothing of the node any more, its key neither.
func (n *Node) Purge() {
	n.t.Helper()
	n.PowerCut()
	if err := os.RemoveAll(n.DataDir); err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	n.Clients, n.ended = nil, false // its kubeconfig will be another
	n.mu.Unlock()
}
