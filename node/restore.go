package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/upstream"
	"covey.dev/covey/store"
)

// restoreOrder has what others belong to written first and deleted last.
var restoreOrder = []string{"namespaces", "nodes", "priorityclasses.scheduling.k8s.io", "", "replicasets.apps", "pods"}

// keptByRestore are objects that say how the cluster is now, not how it should be.
func keptByRestore(k store.Key) bool {
	return slices.Contains([]string{"nodes", upstream.PodCIDRs, keysTable, nodeKeysTable, admissionsTable, "events"}, k.Resource)
}

// RestoreDir makes the state in a stopped node's data directory the one of a backup, and the node the only server of its
// cluster, also where it had left one. The state that was there is kept beside it, in the directory that is returned. When the
// backup is not whole, or anything fails, the state has not changed.
func RestoreDir(ctx context.Context, dataDir string, backup io.Reader, log *slog.Logger) (kept string, err error) {
	if err := os.MkdirAll(dataDir, 0o711); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	held, err := lock(dataDir)
	if err != nil {
		return "", err
	}
	defer func() { _ = held.Close() }()
	old, err := store.ReadBackup(backup, kind.Scheme())
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	id, err := identity.Open(filepath.Join(dataDir, "identity"), time.Now)
	if err != nil {
		return "", err
	}
	fresh := filepath.Join(dataDir, "store.restoring")
	if err := os.RemoveAll(fresh); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if err := fill(ctx, fresh, id.NodeID(), old, log); err != nil {
		return "", errors.Join(err, os.RemoveAll(fresh))
	}
	if err := supersede(dataDir); err != nil {
		return "", errors.Join(fmt.Errorf("restore: %w", err), os.RemoveAll(fresh))
	}
	if kept, err = exchange(dataDir, fresh); err != nil {
		return kept, err
	}
	// Also where that is lower: with the state of before an upgrade a covey of before may run again.
	if err := setProtocol(dataDir, old.Agreed()); err != nil {
		return kept, err
	}
	if err := advance(dataDir); err != nil {
		return kept, err
	}
	return kept, remove(dataDir, leftFile)
}

// supersede drops what was to become of the state before at the next start: it would become of the one that takes its place. A node that
// has left its cluster stays so until the restore is complete, but has nothing to forget any more.
func supersede(dataDir string) error {
	if err := remove(dataDir, yieldFile, recoverFile); err != nil {
		return err
	}
	left, err := readFile(dataDir, leftFile)
	if err != nil || left == "" {
		return err
	}
	return writeFile(filepath.Join(dataDir, leftFile), restoringText)
}

// remove removes files of the data directory that may not be there, also from the disk.
func remove(dataDir string, names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(dataDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(dataDir)
}

// advance has servers that come back later with the state that was replaced copy this one.
func advance(dataDir string) error {
	number, err := readIncarnation(dataDir)
	if err != nil {
		return err
	}
	return writeIncarnation(dataDir, nextIncarnation(number))
}

// fill makes a store in dir with the state of old.
func fill(ctx context.Context, dir, nodeID string, old *store.Snapshot, log *slog.Logger) error {
	st, err := store.Open(store.Config{
		Dir: dir, NodeID: nodeID, After: old.Revision() + store.RevisionMargin, Scheme: kind.Scheme(), Logger: log,
	})
	if err != nil {
		return err
	}
	return over(ctx, st.Run, func(ctx context.Context) error {
		if err := st.Agree(ctx, old.Agreed()); err != nil {
			return err
		}
		_, err := st.Restore(ctx, old, nil, restoreOrder)
		return err
	})
}

// exchange puts the fresh store in the place of the one that is there, if any.
func exchange(dataDir, fresh string) (kept string, err error) {
	place := filepath.Join(dataDir, "store")
	if kept, err = setAside(place); err != nil {
		return "", fmt.Errorf("restore: set the old state aside: %w", err)
	}
	if err := os.Rename(fresh, place); err != nil {
		return kept, fmt.Errorf("restore: put the restored state in its place: %w; the old one is in %s", err, kept)
	}
	return kept, syncDir(dataDir)
}
