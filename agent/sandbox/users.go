package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// UserIDs are how many users and groups a pod with a user namespace has: 0 to 65535.
const UserIDs = 1 << 16

// A user namespace is made for a new process only, never for one of several threads, and it owns the other namespaces only if
// they are made in it. So the first process of a shared PID namespace makes them all, and goes again where none is shared.

// withUsers is Pin for a pod with a user namespace.
func withUsers(dir string, o Options) (map[string]string, error) {
	if err := pinWithUsers(dir, o); err != nil {
		return nil, fmt.Errorf("pin the pod's namespaces in %s: %w", dir, err)
	}
	paths := map[string]string{"user": filepath.Join(dir, "user")}
	for _, k := range kinds {
		paths[k.name] = filepath.Join(dir, k.proc)
	}
	if o.ShareProcesses {
		paths["pid"] = filepath.Join(dir, "pid")
	}
	return paths, nil
}

// pinWithUsers makes all of the pod's namespaces at once unless all are there.
func pinWithUsers(dir string, o Options) error {
	if pinned(filepath.Join(dir, "user")) && (!o.ShareProcesses || firstProcess(dir) > 0) && allPinned(dir) {
		return nil
	}
	if err := Unpin(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("create the pod's namespace directory: %w", err)
	}
	attr := &syscall.SysProcAttr{
		Cloneflags:                 unix.CLONE_NEWUSER,
		UidMappings:                []syscall.SysProcIDMap{{HostID: int(o.FirstUser), Size: UserIDs}},
		GidMappings:                []syscall.SysProcIDMap{{HostID: int(o.FirstUser), Size: UserIDs}},
		GidMappingsEnableSetgroups: true,
		Credential:                 &syscall.Credential{},
	}
	for _, k := range kinds {
		attr.Cloneflags |= uintptr(k.flag)
	}
	if o.ShareProcesses {
		attr.Cloneflags |= unix.CLONE_NEWPID
	} else {
		// It goes with covey too, whose thread must be there as long as it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		attr.Pdeathsig = syscall.SIGKILL
	}
	pid, err := startFirst(attr)
	if err != nil {
		return fmt.Errorf("make a user namespace (hostUsers: false): %w", err)
	}
	err = pinFrom(pid, dir, o)
	if err == nil && o.ShareProcesses {
		return nil
	}
	return errors.Join(err, end(pid))
}

func allPinned(dir string) bool {
	for _, k := range kinds {
		if !pinned(filepath.Join(dir, k.proc)) {
			return false
		}
	}
	return true
}

// pinFrom pins the namespaces that a process is in.
func pinFrom(pid int, dir string, o Options) error {
	for _, k := range kinds {
		if err := bind(fmt.Sprintf("/proc/%d/ns/%s", pid, k.proc), filepath.Join(dir, k.proc)); err != nil {
			return err
		}
	}
	if err := nameHost(filepath.Join(dir, "uts"), o.Hostname); err != nil {
		return err
	}
	if o.ShareProcesses {
		if err := bind(fmt.Sprintf("/proc/%d/ns/pid", pid), filepath.Join(dir, "pid")); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "pid.first"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
			return err
		}
	}
	// Last: with it, all is there.
	return bind(fmt.Sprintf("/proc/%d/ns/user", pid), filepath.Join(dir, "user"))
}

func nameHost(uts, hostname string) error {
	return onOwnThread(func() error {
		f, err := os.Open(uts)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("enter namespace %s: %w", uts, err)
		}
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("set the host name %q: %w", hostname, err)
		}
		return nil
	})
}
