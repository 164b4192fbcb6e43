package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
)

// Files in the data directory that say what is to be done at the next start, before the state is opened. They go when it is done.
const (
	recoverFile = "recover" // make this node the only server of its cluster
	yieldFile   = "yield"   // give up the state; it holds the number of the incarnation to copy
)

// ErrAgain is returned by Run when the node has to be started again to go on.
var ErrAgain = errors.New("the node is to be started again")

// settleState does what an earlier run left to be done to the state in the data directory.
func settleState(dataDir string, log *slog.Logger) error {
	yielding, err := readFile(dataDir, yieldFile)
	if err != nil {
		return err
	}
	if yielding != "" {
		return yieldState(dataDir, yielding, log)
	}
	recovering, err := readFile(dataDir, recoverFile)
	if err != nil || recovering == "" {
		return err
	}
	_, err = recoverState(dataDir, log)
	return err
}

// readFile gives "" for a file that is not there.
func readFile(dataDir, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dataDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// yieldState sets the state aside, so that it is copied from the others. Each step may be done again after a crash.
func yieldState(dataDir, to string, log *slog.Logger) error {
	number, err := strconv.ParseUint(strings.TrimSpace(to), 10, 64)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(dataDir, yieldFile), err)
	}
	kept, err := setAside(filepath.Join(dataDir, "store"))
	if err != nil {
		return fmt.Errorf("give up the state: %w", err)
	}
	if err := identity.SetJoined(filepath.Join(dataDir, "identity")); err != nil {
		return err
	}
	if err := writeIncarnation(dataDir, number); err != nil {
		return err
	}
	if kept != "" {
		log.Warn("the state of the cluster is copied anew; what this node had is kept, remove it when it is no longer needed", "directory", kept)
	}
	return os.Remove(filepath.Join(dataDir, yieldFile))
}

// setAside renames a directory, if it is there, and returns its new name.
func setAside(dir string) (kept string, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	kept = fmt.Sprintf("%s.replaced-%s", dir, time.Now().UTC().Format("20060102T150405Z"))
	return kept, os.Rename(dir, kept)
}

// recoverState makes the node the only server of a new incarnation of its cluster, and returns the revision of the state.
func recoverState(dataDir string, log *slog.Logger) (uint64, error) {
	nodeID, err := identity.NodeKeyID(filepath.Join(dataDir, "identity"))
	if err != nil {
		return 0, err
	}
	number, err := readIncarnation(dataDir)
	if err != nil {
		return 0, err
	}
	// The new number first: others must not take up with this node what it is about to leave behind.
	if err := writeIncarnation(dataDir, nextIncarnation(number)); err != nil {
		return 0, err
	}
	revision, err := store.Recover(store.Config{Dir: filepath.Join(dataDir, "store"), NodeID: nodeID, Scheme: kind.Scheme(), Logger: log})
	if err != nil {
		return 0, err
	}
	log.Warn("this node is the only server of its cluster now; others that come back copy its state", "revision", revision)
	return revision, remove(dataDir, recoverFile)
}
