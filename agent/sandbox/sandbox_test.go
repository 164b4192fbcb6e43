package sandbox

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestPinAndUnpin(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	dir := filepath.Join(t.TempDir(), "ns")
	opts := Options{Hostname: "shop-1"}
	paths, err := Pin(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Unpin(dir); err != nil {
			t.Error(err)
		}
	}()
	for _, k := range kinds {
		if inode(t, paths[k.name]) == inode(t, "/proc/self/ns/"+k.proc) {
			t.Errorf("the pod has the machine's %s namespace", k.name)
		}
	}
	before := inode(t, paths["network"])
	if again, err := Pin(dir, opts); err != nil || inode(t, again["network"]) != before {
		t.Errorf("a namespace that was there was replaced: %v", err)
	}
	// One is lost, as when covey dies between two steps.
	if err := unix.Unmount(paths["uts"], unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if again, err := Pin(dir, opts); err != nil || inode(t, again["network"]) != before || !pinned(again["uts"]) {
		t.Errorf("the one that was missing was not made: %v", err)
	}
	host, _ := os.Hostname()
	err = onOwnThread(func() error {
		f, err := os.Open(paths["uts"])
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWUTS); err != nil {
			return err
		}
		if name, _ := os.Hostname(); name != "shop-1" {
			t.Errorf("host name %q", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = Enter(paths["network"], func() error {
		links, err := net.Interfaces()
		if err == nil && len(links) != 1 {
			t.Errorf("interfaces %v, want lo alone", links)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := Unpin(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
	if left, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir)); err != nil || len(left) > 0 {
		t.Errorf("mounts are left: %v, %v", left, err)
	}
	if now, _ := os.Hostname(); now != host {
		t.Errorf("the machine's host name is %q", now)
	}
}

func TestTheHostsNamespacesAreNotPinned(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	dir := filepath.Join(t.TempDir(), "ns")
	paths, err := Pin(dir, Options{HostNetwork: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) != 1 || paths["ipc"] == "" {
		t.Errorf("%v, want IPC alone", paths)
	}
	if err := Unpin(dir); err != nil {
		t.Fatal(err)
	}
}
