package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestBackupAndRestore takes a backup and brings it back twice: into the running node, and into a stopped one whose state is
// damaged.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	n.Kubectl("create", "configmap", "early", "--from-literal=is=here")
	file := filepath.Join(n.Dir, "backup")
	n.Covey("backup", file)

	n.Kubectl("delete", "deployment", "web")
	n.Kubectl("delete", "configmap", "early")
	n.Kubectl("create", "configmap", "late", "--from-literal=is=here")
	later := n.Kubectl("get", "configmap", "late", "-o", "jsonpath={.metadata.resourceVersion}")
	n.Covey("restore", file)
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	if got := n.Kubectl("get", "configmaps", "-o", "name"); strings.Contains(got, "late") || !strings.Contains(got, "early") {
		t.Errorf("after the restore: %s", got)
	}
	pid := n.Processes(n.Pod("app=web", harness.Ready))[0]

	if r := n.TryCovey("restore", "--data-dir", n.DataDir, file); r.Code == 0 || !strings.Contains(r.Output(), "another covey is using") {
		t.Errorf("a restore under a running node: %s", r.Output())
	}
	cut := n.File("cut", string(read(t, file)[:200]))
	if r := n.TryCovey("restore", cut); r.Code == 0 || !strings.Contains(r.Output(), "not a whole backup of covey: it ends too early") {
		t.Errorf("a restore of half a backup: %s", r.Output())
	}

	if r := n.TryCovey("backup", "--data-dir", n.DataDir, file); r.Code == 0 || !strings.Contains(r.Output(), "another covey is using") {
		t.Errorf("a backup from under a running node: %s", r.Output())
	}
	n.Stop()
	n.Covey("backup", "--data-dir", n.DataDir, file)
	damaged := filepath.Join(n.DataDir, "store", "raft.db")
	if err := os.WriteFile(damaged, []byte(strings.Repeat("damage ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := n.TryCovey("start", "--data-dir", n.DataDir, "--state-dir", n.StateDir, "--listen", harness.Address)
	if r.Code == 0 || !strings.Contains(r.Output(), damaged) || !strings.Contains(r.Output(), "covey restore --data-dir "+n.DataDir) {
		t.Errorf("a start on damaged state: %s", r.Output())
	}
	n.Covey("restore", "--data-dir", n.DataDir, file)
	n.Start()
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	if now := n.Processes(n.Pod("app=web", harness.Ready)); len(now) == 0 || now[0] != pid {
		t.Errorf("the container that ran was not taken up again: processes %v, was %d", now, pid)
	}
	if rv := n.Kubectl("get", "configmap", "early", "-o", "jsonpath={.metadata.resourceVersion}"); len(rv) <= len(later) {
		t.Errorf("revisions went back: %s after %s", rv, later)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
