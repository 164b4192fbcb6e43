package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// kinds are the namespaces of a pod: their names in an OCI specification, in /proc, and as flags.
var kinds = []struct {
	name, proc string
	flag       int
}{
	{"network", "net", unix.CLONE_NEWNET},
	{"ipc", "ipc", unix.CLONE_NEWIPC},
	{"uts", "uts", unix.CLONE_NEWUTS},
}

// Options say which namespaces a pod has of its own.
type Options struct {
	Hostname    string
	HostNetwork bool // with it the host's UTS namespace is kept too
	HostIPC     bool
	// ShareProcesses makes a PID namespace for all of the pod's containers.
	ShareProcesses bool
	// FirstUser, unless it is 0, makes a user namespace that owns the others, with UserIDs users and groups, which are this one
	// and those after it on the machine. Such a pod shares no namespace with the host.
	FirstUser uint32
}

func (o Options) own(kind string) bool {
	switch kind {
	case "network", "uts":
		return !o.HostNetwork
	default:
		return !o.HostIPC
	}
}

// Pin makes the pod's namespaces below dir, those that are missing, and returns their paths by OCI name. Those that are
// there already, of an earlier run, are kept.
func Pin(dir string, o Options) (map[string]string, error) {
	if o.FirstUser > 0 {
		return withUsers(dir, o)
	}
	paths := map[string]string{}
	missing := 0
	for _, k := range kinds {
		if !o.own(k.name) {
			continue
		}
		path := filepath.Join(dir, k.proc)
		paths[k.name] = path
		if !pinned(path) {
			missing |= k.flag
		}
	}
	if missing == 0 && !o.ShareProcesses {
		return paths, nil
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("create the pod's namespace directory: %w", err)
	}
	if o.ShareProcesses {
		path, err := pinProcesses(dir)
		if err != nil {
			return nil, err
		}
		paths["pid"] = path
	}
	if missing == 0 {
		return paths, nil
	}
	if err := onOwnThread(func() error { return pin(dir, missing, o.Hostname) }); err != nil {
		return nil, fmt.Errorf("pin the pod's namespaces in %s: %w", dir, err)
	}
	return paths, nil
}

// Unpin removes the pins below dir and dir itself; the kernel frees the namespaces with their last process.
func Unpin(dir string) error {
	errs := []error{unpinProcesses(dir)}
	for _, k := range kinds {
		errs = append(errs, unpin(filepath.Join(dir, k.proc)))
	}
	errs = append(errs, unpin(filepath.Join(dir, "user")))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func unpin(path string) error {
	for pinned(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unpin %s: %w", path, err)
		}
	}
	return nil
}

// Enter runs fn on a thread in the network namespace at path.
func Enter(path string, fn func() error) error {
	return onOwnThread(func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", path, err)
		}
		return fn()
	})
}

func pin(dir string, flags int, hostname string) error {
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if flags&unix.CLONE_NEWUTS != 0 {
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("set the host name %q: %w", hostname, err)
		}
	}
	for _, k := range kinds {
		if flags&k.flag == 0 {
			continue
		}
		if err := bind(fmt.Sprintf("/proc/thread-self/ns/%s", k.proc), filepath.Join(dir, k.proc)); err != nil {
			return err
		}
	}
	return nil
}

func bind(from, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	_ = f.Close()
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", to, err)
	}
	return nil
}

func pinned(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// onOwnThread runs fn on a thread that ends with it, because its namespaces are no longer those of the process.
func onOwnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The runtime never ends the main thread: it would keep the namespaces, and be in them for all of /proc/self.
			// While it is held here, another thread is taken.
			err := onOwnThread(fn)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- fn() // never unlocked: the runtime ends the thread with the goroutine
	}()
	return <-done
}

// SetSysctls sets kernel parameters of the namespaces that are pinned below dir.
func SetSysctls(dir string, values map[string]string) error {
	return onOwnThread(func() error {
		for _, k := range kinds {
			path := filepath.Join(dir, k.proc)
			if k.name == "uts" || !pinned(path) {
				continue
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			err = unix.Setns(int(f.Fd()), k.flag)
			_ = f.Close()
			if err != nil {
				return fmt.Errorf("enter namespace %s: %w", path, err)
			}
		}
		for name, value := range values {
			file := filepath.Join("/proc/sys", strings.NewReplacer(".", "/", "/", ".").Replace(name))
			if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
				return fmt.Errorf("set sysctl %s to %q: %w", name, value, err)
			}
		}
		return nil
	})
}
