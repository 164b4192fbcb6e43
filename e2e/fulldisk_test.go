package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"covey.dev/covey/e2e/harness"
)

// TestAFullDiskRefusesWritesAndRecovers fills the file system under a node's state: writes are refused and say why, reads and pods go
// on, and when there is room again so do writes, without a restart. Nothing that was acknowledged is lost.
func TestAFullDiskRefusesWritesAndRecovers(t *testing.T) {
	t.Parallel()
	n := harness.New(t, "--eviction-hard", "nodefs.available<0%,imagefs.available<0%,nodefs.inodesFree<0%,imagefs.inodesFree<0%")
	n.OnSmallDisk(160 << 20)
	n.Start()
	n.LoadImages()
	n.Apply(shell("web", sleeps))
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	pid := n.Processes(n.Pod("app=web", harness.Ready))[0]
	n.Kubectl("create", "configmap", "before", "--from-literal=there=was room")

	full := filepath.Join(n.DataDir, "full")
	fill(t, full)
	acknowledged := []string{"before"}
	refused := ""
	for i := range 500 { // the log has room left in the file that it writes
		name := fmt.Sprint("during-", i)
		r := n.TryKubectl("create", "configmap", name, "--from-literal=x="+noise(48<<10), "--request-timeout=10s")
		if r.Code != 0 {
			refused = r.Output()
			break
		}
		acknowledged = append(acknowledged, name)
	}
	if !strings.Contains(refused, "no space left on device") {
		t.Errorf("a write on a full disk: %q", refused)
	}
	n.Kubectl("get", "pods") // reads the newest state, which needs no disk

	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	n.Eventually(func() error {
		if r := n.TryKubectl("create", "configmap", "after", "--from-literal=there=is room", "--request-timeout=10s"); r.Code != 0 && !strings.Contains(r.Output(), "already exists") {
			return errors.New(r.Output())
		}
		return nil
	})
	n.Kill()
	n.Start()
	have := n.Kubectl("get", "configmaps", "-o", "name")
	for _, name := range append(acknowledged, "after") {
		if !strings.Contains(have, "configmap/"+name+"\n") {
			t.Errorf("the acknowledged config map %s is lost", name)
		}
	}
	if now := n.Processes(n.Pod("app=web", harness.Ready)); len(now) == 0 || now[0] != pid {
		t.Errorf("the container's processes are %v, was %d", now, pid)
	}
}

// noise is text that does not compress to much less.
func noise(size int) string {
	text := make([]byte, size)
	_, _ = rand.Read(text)
	return hex.EncodeToString(text[:size/2])
}

// fill writes a file until its file system has no room.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	for err = nil; err == nil; { // the last bytes too
		_, err = f.Write(block[:1])
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
