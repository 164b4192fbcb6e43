package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/env"
	"covey.dev/covey/agent/volume"
)

// mounts are the container's volume mounts, the pod's files in /etc and the termination message file.
func (w *worker) mounts(pod *corev1.Pod, c *corev1.Container, attempt int, environment *env.Environment) ([]Mount, error) {
	var mounts []Mount
	taken := map[string]bool{}
	for i := range c.VolumeMounts {
		m, err := w.volumeMount(pod, &c.VolumeMounts[i], filepath.Join(w.podDir(w.ref.UID), "subpaths", c.Name, fmt.Sprint(i)), environment)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
		taken[filepath.Clean(m.Target)] = true
	}
	for _, m := range w.etcMounts(pod) {
		if !taken[m.Target] {
			mounts = append(mounts, m)
		}
	}
	if c.TerminationMessagePath == "" || taken[c.TerminationMessagePath] {
		return mounts, nil
	}
	file := w.messageFile(c.Name, attempt)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return nil, err
	}
	// Whatever user the container runs as may write it.
	if err := os.Chmod(file, 0o666); err != nil { //nolint:gosec // see above
		return nil, err
	}
	return append(mounts, Mount{Source: file, Target: c.TerminationMessagePath}), nil
}

// volumeMount is one mount of a volume; a part of a volume is mounted at subMount first.
func (w *worker) volumeMount(pod *corev1.Pod, m *corev1.VolumeMount, subMount string, environment *env.Environment) (Mount, error) {
	path, ok := w.volumes[m.Name]
	if !ok {
		return Mount{}, fmt.Errorf("volume %q of mount %s is not there", m.Name, m.MountPath)
	}
	sub := m.SubPath
	if m.SubPathExpr != "" {
		sub = environment.Expand([]string{m.SubPathExpr})[0]
	}
	if sub != "" {
		if err := volume.SubPath(path, sub, subMount); err != nil {
			return Mount{}, err
		}
		path = subMount
	}
	options, err := below(m)
	if err != nil {
		return Mount{}, fmt.Errorf("mount %s: %w", m.MountPath, err)
	}
	return Mount{
		Source: path, Target: absolute(m.MountPath), ReadOnly: m.ReadOnly || isFromAPI(pod, m.Name),
		Propagation: propagation(m.MountPropagation), Options: options,
	}, nil
}

// mountPoints makes what the container's mounts need inside of volumes of the API, which are mounted first and then read-only. The
// container's own mounts come first in the list, as in its spec.
func mountPoints(pod *corev1.Pod, c *corev1.Container, mounts []Mount) error {
	for _, m := range mounts {
		outer, name := -1, "" // the innermost mount that m is below
		for i := range mounts {
			if n, ok := volume.Below(mounts[i].Target, m.Target); ok && (outer < 0 || len(n) < len(name)) {
				outer, name = i, n
			}
		}
		if outer < 0 || outer >= len(c.VolumeMounts) || !isFromAPI(pod, c.VolumeMounts[outer].Name) {
			continue
		}
		if err := volume.MountPoint(mounts[outer].Source, name, m.Source); err != nil {
			return fmt.Errorf("mount point %s: %w", m.Target, err)
		}
	}
	return nil
}

// isFromAPI holds for the name of a volume that containers may only read, whatever their mounts say: covey itself goes on
// writing to it on the machine, and must not be led astray there.
func isFromAPI(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name && volume.FromAPI(&v) })
}

// below makes what is mounted below a read-only mount read-only too, as far as that is asked for (KEP-3857).
func below(m *corev1.VolumeMount) ([]string, error) {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return nil, nil
	}
	switch {
	case recursivelyReadOnly():
		return []string{"rro"}, nil
	case *m.RecursiveReadOnly == corev1.RecursiveReadOnlyEnabled:
		return nil, errors.New("recursiveReadOnly: this kernel cannot (it takes Linux 5.12): use IfPossible")
	}
	return nil, nil
}

// recursivelyReadOnly is whether the kernel has mount_setattr.
var recursivelyReadOnly = sync.OnceValue(func() bool {
	return !errors.Is(unix.MountSetattr(-1, "", 0, &unix.MountAttr{}), unix.ENOSYS)
})

func absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

func propagation(mode *corev1.MountPropagationMode) string {
	if mode == nil {
		return ""
	}
	switch *mode {
	case corev1.MountPropagationHostToContainer:
		return "rslave"
	case corev1.MountPropagationBidirectional:
		return "rshared"
	}
	return ""
}

func (w *worker) messageFile(container string, attempt int) string {
	return filepath.Join(w.podDir(w.ref.UID), "messages", container, fmt.Sprint(attempt))
}
