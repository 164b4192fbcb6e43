package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"covey.dev/covey/agent/containerd/cgroup"
)

const runtimeFolder = "io.containerd.runtime.v2.task"

// stopOrphans ends all containers and shims that were made on this state folder, and removes what they have on the machine,
// without the help of containerd, which knows of none. What the pods themselves have there, namespaces and volumes, stays.
func stopOrphans(ctx context.Context, cfg Config) error {
	killShims(cfg.Bin)
	bundles, err := filepath.Glob(filepath.Join(cfg.State, runtimeFolder, "*", "*"))
	if err != nil {
		return err
	}
	for _, bundle := range bundles {
		if err := stopOrphan(ctx, bundle); err != nil {
			return fmt.Errorf("stop what is left of container %s: %w", filepath.Base(bundle), err)
		}
	}
	for _, dir := range []string{
		filepath.Join(cfg.State, runtimeFolder), filepath.Join(cfg.Root, runtimeFolder),
		filepath.Join(cfg.State, "runc"), filepath.Join(cfg.State, "notes"),
	} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	sockets, err := os.ReadDir(shimSocketDir(cfg.State))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, socket := range sockets {
		if err := os.Remove(filepath.Join(shimSocketDir(cfg.State), socket.Name())); err != nil {
			return err
		}
	}
	return nil
}

// killShims kills every process that runs a shim or a runc from this folder.
func killShims(bin string) {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		found := running(bin)
		if len(found) == 0 {
			return
		}
		for _, pid := range found {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
		}
	}
}

// running are the processes whose program lies below a folder.
func running(bin string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, bin+"/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// stopOrphan kills the processes of the container that has this bundle, and unmounts its files.
func stopOrphan(ctx context.Context, bundle string) error {
	path, err := cgroupOf(bundle)
	if err != nil {
		return err
	}
	if err := cgroup.Remove(ctx, path); err != nil {
		return err
	}
	return mount.UnmountRecursive(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH)
}

// cgroupOf reads a container's cgroup from its bundle; "" where that holds none, because it was never finished.
func cgroupOf(bundle string) (string, error) {
	config, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var spec struct {
		Linux struct{ CgroupsPath string }
	}
	if json.Unmarshal(config, &spec) != nil {
		return "", nil
	}
	return spec.Linux.CgroupsPath, nil
}
