package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
)

// Source reads the objects that volumes are made of.
type Source interface {
	ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	IsMissing(err error) bool
}

// Volumes are the volumes of one pod.
type Volumes struct {
	Dir         string // <data-dir>/pods/<uid>/volumes
	Pod         *corev1.Pod
	Source      Source
	Allocatable corev1.ResourceList
}

// Setup makes all volumes and returns where each is, also of those that it could not make. It may be called again: what is there
// is kept, what comes from the API is brought up to date, or left alone when that fails.
func (v *Volumes) Setup(ctx context.Context) (map[string]string, error) {
	paths := map[string]string{}
	var errs []error
	for i := range v.Pod.Spec.Volumes {
		vol := &v.Pod.Spec.Volumes[i]
		path, err := v.setup(ctx, vol)
		if err != nil {
			errs = append(errs, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", vol.Name, err))
		}
		paths[vol.Name] = path
	}
	return paths, errors.Join(errs...)
}

func (v *Volumes) setup(ctx context.Context, vol *corev1.Volume) (string, error) {
	dir := filepath.Join(v.Dir, vol.Name)
	switch {
	case vol.HostPath != nil:
		return vol.HostPath.Path, hostPath(vol.HostPath)
	case vol.EmptyDir != nil:
		return dir, v.emptyDir(dir, vol.EmptyDir)
	case FromAPI(vol):
		files, mode, err := v.files(ctx, vol)
		if err != nil {
			return dir, err
		}
		return dir, v.write(dir, files, mode, vol.Secret != nil || vol.Projected != nil)
	}
	return "", errors.New("its kind is not supported")
}

// Refresh brings the volumes that are made from the API up to date; the others, and those that fail, are left alone.
func (v *Volumes) Refresh(ctx context.Context) error {
	var errs []error
	for i := range v.Pod.Spec.Volumes {
		vol := &v.Pod.Spec.Volumes[i]
		if !FromAPI(vol) {
			continue
		}
		if _, err := v.setup(ctx, vol); err != nil {
			errs = append(errs, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", vol.Name, err))
		}
	}
	return errors.Join(errs...)
}

// FromAPI holds for a volume that is made of objects of the API. Containers may only read it.
func FromAPI(vol *corev1.Volume) bool {
	return vol.ConfigMap != nil || vol.Secret != nil || vol.DownwardAPI != nil || vol.Projected != nil
}

// emptyDir makes a directory that everybody may write to; one that is there is as its pod left it. With an fsGroup the
// group owns it and what is made in it.
func (v *Volumes) emptyDir(dir string, e *corev1.EmptyDirVolumeSource) error {
	if e.Medium == corev1.StorageMediumMemory {
		return v.emptyMemory(dir, e)
	}
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	fresh := dir + ".new"
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return err
	}
	if group, ok := v.fsGroup(); ok {
		if err := os.Chown(fresh, -1, group); err != nil {
			return err
		}
		if err := os.Chmod(fresh, 0o777|os.ModeSetgid); err != nil { //nolint:gosec // as Kubernetes has it
			return err
		}
	} else if err := os.Chmod(fresh, 0o777); err != nil { //nolint:gosec // as Kubernetes has it
		return err
	}
	return os.Rename(fresh, dir)
}

// fsGroup is the group that the pod's volumes belong to.
func (v *Volumes) fsGroup() (group int, ok bool) {
	sc := v.Pod.Spec.SecurityContext
	if sc == nil || sc.FSGroup == nil {
		return 0, false
	}
	return int(*sc.FSGroup), true
}

// hostPath checks, and for the OrCreate types makes, what a pod wants of the machine's file system.
func hostPath(h *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	info, err := os.Stat(h.Path)
	missing := errors.Is(err, os.ErrNotExist)
	switch kind {
	case corev1.HostPathDirectoryOrCreate, corev1.HostPathUnset:
		if missing {
			return os.MkdirAll(h.Path, 0o755)
		}
	case corev1.HostPathFileOrCreate:
		if missing {
			f, err := os.OpenFile(h.Path, os.O_CREATE|os.O_RDONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	if !matches(kind, info.Mode()) {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", h.Path, kind)
	}
	return nil
}

func matches(kind corev1.HostPathType, mode os.FileMode) bool {
	switch kind {
	case corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate:
		return mode.IsDir()
	case corev1.HostPathFile, corev1.HostPathFileOrCreate:
		return mode.IsRegular()
	case corev1.HostPathSocket:
		return mode&os.ModeSocket != 0
	case corev1.HostPathCharDev:
		return mode&os.ModeCharDevice != 0
	case corev1.HostPathBlockDev:
		return mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0
	}
	return true
}
