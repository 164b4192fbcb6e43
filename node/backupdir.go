package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
)

// electionPatience is how long the only server of a cluster may take to be its leader.
const electionPatience = 15 * time.Second

// BackupDir writes a backup of the state in a stopped node's data directory, for RestoreDir. It works on a copy, in the system's
// directory for temporary files, and leaves the node's state as it is.
func BackupDir(ctx context.Context, dataDir string, w io.Writer, log *slog.Logger) error {
	place := filepath.Join(dataDir, "store")
	if _, err := os.Stat(place); err != nil {
		return fmt.Errorf("back up %s: there is no covey's state in it: %w", dataDir, err)
	}
	held, err := lock(dataDir)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	if err := checkProtocol(dataDir); err != nil {
		return err
	}
	id, err := identity.Open(filepath.Join(dataDir, "identity"), time.Now)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "covey-backup-") // for its owner alone
	if err != nil {
		return fmt.Errorf("back up %s: %w", dataDir, err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.CopyFS(filepath.Join(tmp, "store"), os.DirFS(place)); err != nil {
		return fmt.Errorf("back up %s: copy the state: %w", dataDir, err)
	}
	st, err := store.Open(store.Config{Dir: filepath.Join(tmp, "store"), NodeID: id.NodeID(), Scheme: kind.Scheme(), Logger: log})
	if err != nil {
		return err
	}
	return over(ctx, st.Run, func(ctx context.Context) error { return writeBackup(ctx, st, dataDir, w) })
}

func writeBackup(ctx context.Context, st *store.Store, dataDir string, w io.Writer) error {
	waitCtx, cancel := context.WithTimeout(ctx, electionPatience)
	defer cancel()
	v, err := st.Linearizable(waitCtx)
	if ctx.Err() == nil && errors.Is(waitCtx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("back up %s: it is the state of one of several servers, which alone cannot tell what is newest: back up from one that runs (covey backup without --data-dir)", dataDir)
	}
	if err != nil {
		return fmt.Errorf("back up %s: %w", dataDir, err)
	}
	return v.WriteBackup(w)
}
