package harness

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
)

// Address is where every node listens, in its own network namespace.
const Address = "127.0.0.1:7443"

// patience is how long the tests wait for what should take well under a second on a quiet machine.
const patience = 60 * time.Second

// Node is one covey and all that belongs to it.
type Node struct {
	Dir, DataDir, StateDir string
	Clients                kubernetes.Interface
	// Program is the covey that the next start runs; empty is the one that was built.
	Program string

	t    T
	net  *network
	args []string
	name string // of its Node object
	// member says that it is one of several: what the cluster runs is deleted before any of them is stopped.
	member bool
	server *Node // the first one of the cluster, if this is a worker

	smallDisk bool // the data directory is a mount
	ended     bool // covey ended by itself and is not to be started again

	mu      sync.Mutex
	process *os.Process
	exited  chan error // of the process that runs now
	said    string     // its line that it is ready
}

// Start runs a node for the time of the test, with the test's images loaded. args are added to covey start.
func Start(t T, args ...string) *Node {
	t.Helper()
	n := New(t, args...)
	n.Start()
	n.LoadImages()
	return n
}

// LoadImages loads the test's images into a node that runs.
func (n *Node) LoadImages() {
	n.t.Helper()
	n.loadImages("hello.tar", "busybox.tar")
}

// New makes a node's directories and network and does not start it.
func New(t T, args ...string) *Node {
	t.Helper()
	dir, err := os.MkdirTemp("", "cv") // not t.TempDir: the path of a socket below it must be short
	if err == nil {
		err = os.Chmod(dir, 0o711) //nolint:gosec // as the folders of state are: pods have users of their own
	}
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Dir: dir, DataDir: filepath.Join(dir, "d"), StateDir: filepath.Join(dir, "s"), t: t, args: args, name: "node-1"}
	t.Cleanup(func() {
		if n.smallDisk {
			if err := unix.Unmount(n.DataDir, 0); err != nil {
				t.Errorf("unmount the test's disk: %v", err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test's directory: %v", err)
		}
	})
	n.net = newNetwork(t)
	t.Cleanup(n.cleanUp)
	return n
}

// OnSmallDisk puts the data directory of a node that was not started on a file system of its own, which has this many
// bytes, for the time of the test.
func (n *Node) OnSmallDisk(size int64) {
	n.t.Helper()
	if err := os.MkdirAll(n.DataDir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", n.DataDir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		n.t.Fatal(err)
	}
	n.smallDisk = true
}

// OnFragileDisk is OnSmallDisk with a file system that can fail, which turns it read-only. The test is skipped where the machine has
// no loop devices.
func (n *Node) OnFragileDisk(size int64) {
	n.t.Helper()
	image := filepath.Join(n.Dir, "disk")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close(), os.MkdirAll(n.DataDir, 0o755))
	}
	if err != nil {
		n.t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		n.t.Skipf("mkfs.ext4: %v\n%s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, n.DataDir).CombinedOutput(); err != nil {
		n.t.Skipf("mount a disk from a file: %v\n%s", err, out)
	}
	n.smallDisk = true
}

// FailDisk has the kernel take the file system for damaged: it is read-only until it is mounted again.
func (n *Node) FailDisk() {
	n.t.Helper()
	// mount reports that it could not make it writable again, which is what is wanted.
	_, _ = exec.Command("mount", "-o", "remount,abort", n.DataDir).CombinedOutput()
	if err := os.WriteFile(filepath.Join(n.DataDir, "probe"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		n.t.Fatalf("a write to a failed disk: %v", err)
	}
}

// RepairDisk mounts it again, after a power cut.
func (n *Node) RepairDisk() {
	n.t.Helper()
	if err := unix.Unmount(n.DataDir, 0); err != nil {
		n.t.Fatal(err)
	}
	n.smallDisk = false
	if out, err := exec.Command("mount", "-o", "loop", filepath.Join(n.Dir, "disk"), n.DataDir).CombinedOutput(); err != nil {
		n.t.Fatalf("mount the disk again: %v\n%s", err, out)
	}
	n.smallDisk = true
}

// Start starts covey and returns when it says that it is ready.
func (n *Node) Start() {
	n.t.Helper()
	if err := n.start(); err != nil {
		n.t.Fatal(err)
	}
	n.connect()
}

func (n *Node) start() error {
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(cmp.Or(n.Program, Bin("covey")), append([]string{"start", "--data-dir", n.DataDir, "--state-dir", n.StateDir,
		"--listen", Address, "--node-name", "node-1", "--log-level", "debug",
		// That the tests' machine is nearly full is not what they are about.
		"--eviction-hard", "nodefs.available<1%,imagefs.available<1%", "--image-gc-high-threshold=99", "--image-gc-low-threshold=98"}, n.args...)...) // of two flags the last counts
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C at the tests is for the tests to act on
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := n.net.start(cmd); err != nil {
		return fmt.Errorf("start covey: %w", err)
	}
	ready := make(chan struct{})
	var once sync.Once
	read := make(chan struct{})
	go func() {
		defer close(read)
		for line := range lines(stdout) {
			if strings.HasPrefix(line, "covey is ready") {
				n.mu.Lock()
				n.said = line
				n.mu.Unlock()
				once.Do(func() { close(ready) }) // a node that recovers says it twice
			}
		}
	}()
	exited := make(chan error, 1)
	go func() {
		<-read
		exited <- cmd.Wait()
	}()
	n.mu.Lock()
	n.process, n.exited = cmd.Process, exited
	n.mu.Unlock()
	select {
	case <-ready:
		return nil
	case err := <-exited:
		n.mu.Lock()
		n.process = nil
		n.mu.Unlock()
		return fmt.Errorf("covey start ended before it was ready: %w\n%s", err, n.logTail())
	case <-time.After(patience):
		return fmt.Errorf("covey is not ready after %v\n%s", patience, n.logTail())
	}
}

// With adds flags to covey start, from the next start on.
func (n *Node) With(args ...string) { n.args = append(n.args, args...) }

// Name is that of its Node object.
func (n *Node) Name() string { return n.name }

// PID is that of the covey that runs now.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return 0
	}
	return n.process.Pid
}

// Said is the line by which covey said that it is ready.
func (n *Node) Said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.said
}

// Kill ends covey with kill -9 and returns when it is gone.
func (n *Node) Kill() {
	n.t.Helper()
	if err := n.end(syscall.SIGKILL); err != nil && !killed(err) {
		n.t.Fatalf("kill -9 covey: %v", err)
	}
}

// Stop ends covey with SIGTERM and fails the test if it does not end well.
func (n *Node) Stop() {
	n.t.Helper()
	if err := n.end(syscall.SIGTERM); err != nil {
		n.t.Errorf("stop covey: %v\n%s", err, n.logTail())
	}
}

func (n *Node) end(signal syscall.Signal) error {
	n.mu.Lock()
	process, exited := n.process, n.exited
	n.process = nil
	n.mu.Unlock()
	if process == nil {
		return nil
	}
	if err := process.Signal(signal); err != nil {
		return err
	}
	select {
	case err := <-exited:
		return err
	case <-time.After(patience):
		_ = process.Signal(syscall.SIGQUIT) // its goroutines go to the log
		return fmt.Errorf("still there %v after %v: %w", patience, signal, <-exited)
	}
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Instance is the name by which the node's cgroups and interfaces are told from another's.
func (n *Node) Instance() string {
	sum := sha256.Sum256([]byte(n.StateDir))
	return hex.EncodeToString(sum[:4])
}

func (n *Node) logFile() string { return filepath.Join(n.Dir, "covey.log") }

// Log is all that covey has logged since the first start.
func (n *Node) Log() string {
	log, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

func (n *Node) logTail() string {
	const most = 200
	all := slices.DeleteFunc(strings.Split(n.Log(), "\n"), func(line string) bool {
		return strings.Contains(line, "loading plugin") || strings.Contains(line, "msg=serving...")
	})
	return "covey's log:\n" + strings.Join(all[max(0, len(all)-most):], "\n")
}

// Freeze stops covey's process for a time, as a machine that is suspended does. Its containers run on.
func (n *Node) Freeze(d time.Duration) {
	n.t.Helper()
	n.Signal(syscall.SIGSTOP)
	time.Sleep(d) // the time itself is what is tested
	n.Signal(syscall.SIGCONT)
}

// Signal sends covey's process a signal.
func (n *Node) Signal(signal syscall.Signal) {
	n.t.Helper()
	if err := syscall.Kill(n.PID(), signal); err != nil {
		n.t.Fatal(err)
	}
}
