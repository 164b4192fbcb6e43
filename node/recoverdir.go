package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/link"
)

// RecoverDir makes the stopped node in a data directory the only server of its cluster, and returns the revision of its state. It is
// refused while any of the other servers answers at the address where it was last: then the node that runs can say more.
func RecoverDir(ctx context.Context, dataDir string, log *slog.Logger) (revision uint64, err error) {
	if _, err := os.Stat(filepath.Join(dataDir, "store")); err != nil {
		return 0, fmt.Errorf("recover %s: there is no covey's state in it: %w", dataDir, err)
	}
	held, err := lock(dataDir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = held.Close() }()
	if err := checkProtocol(dataDir); err != nil {
		return 0, err
	}
	id, err := identity.Open(filepath.Join(dataDir, "identity"), time.Now)
	if err != nil {
		return 0, err
	}
	if err := othersGone(ctx, id, gossip.Remembered(filepath.Join(dataDir, peersFile))); err != nil {
		return 0, err
	}
	// So that the next start completes it should this be cut off.
	if err := writeFile(filepath.Join(dataDir, recoverFile), "yes\n"); err != nil {
		return 0, fmt.Errorf("recover %s: %w", dataDir, err)
	}
	return recoverState(dataDir, log)
}

// othersGone gives an error when a server of the cluster answers at one of the addresses.
func othersGone(ctx context.Context, id *identity.Identity, addresses []string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	links := link.New(id.NewServer("recovery"), nowhere{}, slog.New(slog.DiscardHandler))
	answered := make(chan string, len(addresses))
	for _, address := range addresses {
		go func() {
			conn, err := links.DialAt(ctx, []string{address}, "", raftProtocol)
			if err != nil {
				address = ""
			} else {
				_ = conn.Close()
			}
			answered <- address
		}()
	}
	for range addresses {
		if address := <-answered; address != "" {
			return fmt.Errorf("the server at %s is alive: start this node, and run covey recover (without --data-dir) if there is no leader then", address)
		}
	}
	return nil
}

// nowhere is a link.Book that knows of no node.
type nowhere struct{}

func (nowhere) Locate(string) []string { return nil }
func (nowhere) Reached(_, _ string)    {}
