package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUsersOfTheirOwn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	for _, share := range []bool{false, true} {
		t.Run(fmt.Sprint("shared processes ", share), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ns")
			opts := Options{Hostname: "shop-1", FirstUser: 600000, ShareProcesses: share}
			paths, err := Pin(dir, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := Unpin(dir); err != nil {
					t.Error(err)
				}
			}()
			user := inode(t, paths["user"])
			for name, path := range paths {
				if owner := ownerOf(t, path); name != "user" && owner != user {
					t.Errorf("the %s namespace is not of the pod's users", name)
				}
			}
			if again, err := Pin(dir, opts); err != nil || inode(t, again["network"]) != inode(t, paths["network"]) {
				t.Errorf("namespaces that were there were replaced: %v", err)
			}
			if pid := firstProcess(dir); share != (pid > 0) {
				t.Errorf("the first process of shared ones is %d", pid)
			} else if share {
				status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				if !strings.Contains(string(status), "Uid:\t600000\t") {
					t.Errorf("it is not of the pod's users:\n%s", status)
				}
			}
			// One is lost, as when covey dies between two steps: they belong together.
			if err := unix.Unmount(paths["uts"], unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
			again, err := Pin(dir, opts)
			if err != nil || inode(t, again["user"]) != ownerOf(t, again["uts"]) {
				t.Errorf("what was missing was not made: %v", err)
			}
		})
	}
}

// ownerOf is the inode of the user namespace that owns the namespace at path.
func ownerOf(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	return inode(t, fmt.Sprintf("/proc/self/fd/%d", fd))
}
