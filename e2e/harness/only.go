package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
)

// OnlyOf says what is on the machine that is not of one of these pods, nor of the node itself.
func (n *Node) OnlyOf(uids []string) error {
	for _, err := range []error{n.onlyMounts(uids), n.onlyDirs(uids), n.onlyCgroups(uids), n.onlyLinks(len(uids)), n.onlyContainers(uids)} {
		if err != nil {
			return err
		}
	}
	return nil
}

// onlyMounts are the pods' namespaces and volumes, and the containers' files.
func (n *Node) onlyMounts(uids []string) error {
	bundles, err := filepath.Glob(filepath.Join(n.StateDir, "containerd", "io.containerd.runtime.v2.task", "*", "*"))
	if err != nil {
		return err
	}
	own := []string{n.DataDir + "/pods/", n.StateDir + "/pods/"}
	for _, m := range n.mounts() {
		path := strings.TrimPrefix(m, "mount ")
		ofPod := slices.ContainsFunc(own, func(dir string) bool {
			uid, _, _ := strings.Cut(strings.TrimPrefix(path, dir), "/")
			return strings.HasPrefix(path, dir) && slices.Contains(uids, uid)
		})
		ofContainer := slices.ContainsFunc(bundles, func(b string) bool { return path == b+"/rootfs" })
		if !ofPod && !ofContainer {
			return fmt.Errorf("left over: %s", m)
		}
	}
	if len(bundles) < len(uids) {
		return fmt.Errorf("%d bundles for %d pods", len(bundles), len(uids))
	}
	return nil
}

func (n *Node) onlyDirs(uids []string) error {
	for _, dir := range []string{filepath.Join(n.DataDir, "pods"), filepath.Join(n.StateDir, "pods")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() && !slices.Contains(uids, e.Name()) {
				return fmt.Errorf("left over: directory %s", filepath.Join(dir, e.Name()))
			}
		}
	}
	return nil
}

func (n *Node) onlyCgroups(uids []string) error {
	for _, root := range n.cgroups() {
		pods, err := filepath.Glob(filepath.Join(strings.TrimPrefix(root, "cgroup "), "pod*"))
		if err != nil {
			return err
		}
		for _, dir := range pods {
			if !slices.Contains(uids, strings.TrimPrefix(filepath.Base(dir), "pod")) {
				return fmt.Errorf("left over: cgroup %s", dir)
			}
		}
	}
	return nil
}

func (n *Node) onlyLinks(pods int) error {
	if links := n.links(); len(links) != pods {
		return fmt.Errorf("%d interfaces for %d pods: %v", len(links), pods, links)
	}
	return nil
}

// onlyContainers asks containerd: each container is a pod's, each layer a container's or an image's, no lease is held but the one that
// containers are made under, and there is a shim for each group and no other.
func (n *Node) onlyContainers(uids []string) error {
	client, err := containerd.New(filepath.Join(n.StateDir, "containerd.sock"), containerd.WithDefaultNamespace("covey"))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ids, groups, err := n.listContainers(ctx, client, uids)
	if err != nil {
		return err
	}
	if shims := n.Shims(); len(shims) > groups {
		return fmt.Errorf("%d shims for %d groups of containers", len(shims), groups)
	}
	leases, err := client.LeasesService().List(ctx, "id!=covey-creation")
	if err != nil || len(leases) > 0 {
		return fmt.Errorf("leases: %v %w", leases, err)
	}
	snapshotter := client.SnapshotService("overlayfs")
	return snapshotter.Walk(ctx, func(_ context.Context, s snapshots.Info) error {
		if s.Kind != snapshots.KindCommitted && !slices.Contains(ids, s.Name) {
			return fmt.Errorf("left over: the layer %s of no container", s.Name)
		}
		return nil
	})
}

func (n *Node) listContainers(ctx context.Context, client *containerd.Client, uids []string) (ids []string, groups int, err error) {
	list, err := client.Containers(ctx)
	if err != nil {
		return nil, 0, err
	}
	shims := map[string]bool{}
	for _, c := range list {
		labels, err := c.Labels(ctx)
		if err != nil {
			return nil, 0, err
		}
		if uid := labels["io.kubernetes.pod.uid"]; !slices.Contains(uids, uid) {
			return nil, 0, fmt.Errorf("left over: container %s of pod %s", c.ID(), uid)
		}
		ids = append(ids, c.ID())
		shims[labels["covey.dev/shim"]] = true
	}
	return ids, len(shims), nil
}
