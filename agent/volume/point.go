package volume

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// MountPoint makes what source can be mounted on, at name in the volume at root: a file for a file, a directory for all else. What is
// there stays. Containers may only read volumes of the API, so nothing can make it there once such a volume is mounted.
func MountPoint(root, name, source string) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if _, err := r.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if source == "" { // a file system of its own
		return r.MkdirAll(name, 0o755)
	}
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	return makePoint(r, name, info.IsDir())
}

func makePoint(root *os.Root, name string, isDir bool) error {
	if isDir {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// carryPoints makes in a new set the mount points that the old one has.
func carryPoints(root *os.Root, from, to string, points []string) error {
	for _, point := range points {
		info, err := root.Stat(path.Join(from, point))
		if err != nil {
			continue
		}
		if _, err := root.Stat(path.Join(to, point)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := makePoint(root, path.Join(to, point), info.IsDir()); err != nil {
			return err
		}
	}
	return nil
}

// points are the paths in a volume at which containers of the pod may have something else mounted.
func (v *Volumes) points(name string) []string {
	spec := &v.Pod.Spec
	var points []string
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		points = append(points, pointsOf(&c, name)...)
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		points = append(points, pointsOf(&c, name)...)
	}
	return points
}

func pointsOf(c *corev1.Container, name string) []string {
	var points []string
	add := func(outer *corev1.VolumeMount, target string) {
		if below, ok := Below(outer.MountPath, target); ok {
			points = append(points, path.Join(outer.SubPath, below))
		}
	}
	for i := range c.VolumeMounts {
		if c.VolumeMounts[i].Name != name {
			continue
		}
		add(&c.VolumeMounts[i], c.TerminationMessagePath)
		for j := range c.VolumeMounts {
			add(&c.VolumeMounts[i], c.VolumeMounts[j].MountPath)
		}
	}
	return points
}

// Below is the name of a container's path below another; not ok if it is not below it.
func Below(outer, target string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path.Clean("/"+target), strings.TrimSuffix(path.Clean("/"+outer), "/")+"/")
	return name, ok && name != ""
}
