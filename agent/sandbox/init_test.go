package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSharedProcesses(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	if _, ok := machines[runtime.GOARCH]; !ok {
		t.Skip("not on this architecture")
	}
	dir := filepath.Join(t.TempDir(), "ns")
	opts := Options{Hostname: "shop-1", ShareProcesses: true}
	pin := func() (pid int, ns uint64) {
		t.Helper()
		paths, err := Pin(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		return firstProcess(dir), inode(t, paths["pid"])
	}
	pid, ns := pin()
	if ns == inode(t, "/proc/self/ns/pid") {
		t.Error("the pod has the machine's processes")
	}
	if again, same := pin(); again != pid || same != ns {
		t.Errorf("a namespace that was there was replaced: %d for %d", again, pid)
	}

	// It is the namespace's first process, leaves no zombies (SIGCHLD is ignored, beside what the test inherited), and is no
	// busy one.
	status := asleep(t, pid)
	for _, want := range []string{`(?m)^NSpid:.*\t1$`, `(?m)^SigIgn:\s+[0-9a-f]{11}[13579bdf][0-9a-f]{4}$`, `(?m)^Threads:\s+1$`} {
		if !regexp.MustCompile(want).Match(status) {
			t.Errorf("no %s in\n%s", want, status)
		}
	}

	// Somebody kills it: the namespace can take no process any more. While it is held open, no other gets its number.
	held, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	other, fresh := pin()
	if other == pid || other == 0 || fresh == ns {
		t.Errorf("a dead namespace was kept")
	}
	for range 2 {
		if err := Unpin(dir); err != nil {
			t.Error(err)
		}
	}
	if err := unix.Kill(other, 0); err == nil {
		t.Error("its first process is left")
	}
}

var sleeps = regexp.MustCompile(`(?m)^State:\s+S `)

// asleep waits until a process has done what it does and sleeps, and returns its status as the kernel prints it: one that was
// just started may not have come to its first instruction.
func asleep(t *testing.T, pid int) []byte {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		if sleeps.Match(status) {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("the first process has not gone to sleep:\n%s", status)
		}
	}
}

// TestProcessesThatCannotBePinned has no room for the note of the first process: the pod is not set up.
func TestProcessesThatCannotBePinned(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	if _, ok := machines[runtime.GOARCH]; !ok {
		t.Skip("not on this architecture")
	}
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := Unpin(dir); err != nil {
			t.Error(err)
		}
	})
	note := filepath.Join(dir, "pid.first")
	if err := os.Mkdir(note, 0o700); err != nil {
		t.Fatal(err)
	}
	opts := Options{HostNetwork: true, HostIPC: true, ShareProcesses: true}
	if paths, err := Pin(dir, opts); err == nil {
		t.Errorf("no error, and the namespaces %v", paths)
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	if paths, err := Pin(dir, opts); err != nil || paths["pid"] == "" || firstProcess(dir) == 0 {
		t.Errorf("at the next try: %v, %v", paths, err)
	}
}

func TestTheFirstProcessIsAProgramOnEachArchitecture(t *testing.T) {
	for arch := range machines {
		if content, err := program(arch); err != nil || len(content) > 256 {
			t.Errorf("%s: %d bytes, %v", arch, len(content), err)
		}
	}
	if _, err := program("other"); err == nil {
		t.Error("any architecture has one")
	}
}
