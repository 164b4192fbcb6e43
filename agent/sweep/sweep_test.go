package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/containerd/cgroup"
	"covey.dev/covey/agent/network"
	"covey.dev/covey/agent/sandbox"
)

// left is what a node leaves when it is killed: a container that heeds SIGTERM or not, a shim, a sandbox with an address, a volume in
// memory.
type left struct {
	Node
	container, shim *exec.Cmd
}

// leave starts it; the container's script says something once it is as far as the test wants it.
func leave(t *testing.T, script string) left {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, as covey does")
	}
	dir := t.TempDir()
	sum := sha256.Sum256([]byte(dir))
	l := left{Node: Node{
		DataDir: filepath.Join(dir, "data"), StateDir: filepath.Join(dir, "state"), InstanceID: hex.EncodeToString(sum[:4]), Grace: 30 * time.Second,
	}}
	l.Service = "/service-of-" + l.InstanceID
	pod := filepath.Join(l.StateDir, "pods", "uid", "ns")
	volume := filepath.Join(l.DataDir, "pods", "uid", "volume")
	bin := filepath.Join(l.DataDir, "bin")
	for _, d := range []string{filepath.Dir(pod), volume, bin} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ns, err := sandbox.Pin(pod, sandbox.Options{Hostname: "pod"})
	if err != nil {
		t.Fatal(err)
	}
	net, err := network.Open(network.Config{InstanceID: l.InstanceID, CIDR: netip.MustParsePrefix("10.42.250.0/28")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.Attach("uid-of-"+l.InstanceID, ns["network"], netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", volume, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	sleep, err := os.ReadFile("/bin/sleep")
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "shim"), sleep, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.shim = l.start(t, exec.Command(filepath.Join(bin, "shim"), "1000"))
	container := exec.Command("sh", "-c", script)
	began, err := container.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.container = l.start(t, container)
	if _, err := began.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	join(t, "/covey-"+l.InstanceID+"/poduid/container", l.container.Process.Pid)
	join(t, l.Service, l.shim.Process.Pid)
	t.Cleanup(func() { _ = Sweep(context.Background(), l.Node) })
	return l
}

func (l *left) start(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// join puts a process into a cgroup.
func join(t *testing.T, path string, pid int) {
	t.Helper()
	roots := []string{filepath.Join(cgroup.Root, path)}
	if !cgroup.Unified() {
		roots = []string{filepath.Join(cgroup.Root, "memory", path), filepath.Join(cgroup.Root, "pids", path)}
	}
	for _, dir := range roots {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (l *left) expectNothing(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(l.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory: %v", err)
	}
	if mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(filepath.Dir(l.DataDir))); err != nil || len(mounts) > 0 {
		t.Errorf("mounts are left: %v %v", mounts, err)
	}
	if _, err := netlink.LinkByName(network.Name(l.InstanceID)); err == nil {
		t.Error("the bridge is left")
	}
	for _, dir := range append(cgroup.Dirs("/covey-"+l.InstanceID), cgroup.Dirs(l.Service)...) {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("cgroup %s is left", dir)
		}
	}
}

func TestNothingIsLeftOfANode(t *testing.T) {
	l := leave(t, "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done")
	if err := Sweep(t.Context(), l.Node); err != nil {
		t.Fatal(err)
	}
	l.expectNothing(t)
	if err := l.shim.Wait(); err == nil {
		t.Error("the shim was not killed")
	}
	var exit *exec.ExitError
	if err := l.container.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("the container had no time to end: %v", err)
	}
	if _, err := os.Stat(filepath.Join(l.DataDir, "bin", "shim")); err != nil {
		t.Errorf("the data directory was touched: %v", err)
	}
	if err := Sweep(t.Context(), l.Node); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestTheDirectoriesAreLinks: the kernel names mounts and programs by where the links lead to.
func TestTheDirectoriesAreLinks(t *testing.T) {
	l := leave(t, "echo; exec sleep 1000")
	for _, dir := range []*string{&l.DataDir, &l.StateDir} {
		link := *dir + "-link"
		if err := os.Symlink(*dir, link); err != nil {
			t.Fatal(err)
		}
		*dir = link
	}
	if err := Sweep(t.Context(), l.Node); err != nil {
		t.Fatal(err)
	}
	l.expectNothing(t)
	if err := l.shim.Wait(); err == nil {
		t.Error("the shim was not killed")
	}
}

// TestTheStateDirectoryIsAMount of the machine's, which stays.
func TestTheStateDirectoryIsAMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, as covey does")
	}
	dir := t.TempDir()
	n := Node{DataDir: filepath.Join(dir, "data"), StateDir: filepath.Join(dir, "state"), InstanceID: "5eed5eed"}
	if err := os.Mkdir(n.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", n.StateDir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(n.StateDir, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(n.StateDir, "covey.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Sweep(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(n.StateDir); err != nil || len(left) > 0 {
		t.Errorf("in the state directory: %v %v", left, err)
	}
}

func TestAContainerThatDoesNotEndIsKilled(t *testing.T) {
	l := leave(t, "trap '' TERM; echo; while :; do sleep 0.05; done")
	l.Grace = 200 * time.Millisecond
	if err := Sweep(t.Context(), l.Node); err != nil {
		t.Fatal(err)
	}
	l.expectNothing(t)
	if err := l.container.Wait(); err == nil {
		t.Error("the container was not killed")
	}
	_ = l.shim.Wait()
}

// TestRemoveLeavesTheFileSystemsOwn in a directory that is a disk.
func TestRemoveLeavesTheFileSystemsOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, name := range []string{"lost+found", "store/segments"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "lost+found" {
		t.Errorf("left are %v: %v", left, err)
	}
	if err := os.Remove(filepath.Join(dir, "lost+found")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing is there
		if err := Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}
