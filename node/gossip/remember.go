package gossip

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"time"
)

// settleTime is how far apart the members' addresses are written at least: while many come or go, a restart needs only some that
// are right.
const settleTime = 2 * time.Second

// remember keeps the addresses of the other members in the file, so that a restart finds them: at once, for this node may be killed right after
// another has joined, which would not hear of it for long. What is there already is not written, and an empty list never takes
// the place of one that might still lead somewhere.
func (g *Gossip) remember(ctx context.Context) error {
	written := readAddresses(g.cfg.File)
	for {
		changed := g.Changed()
		if others := g.others(); len(others) > 0 && !slices.Equal(others, written) {
			if err := writeAddresses(g.cfg.File, others); err != nil {
				g.cfg.Log.Warn("the addresses of the other nodes were not written; a restart needs --join to find them", "error", err)
			}
			written = others
			select {
			case <-time.After(settleTime):
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *Gossip) others() []string {
	var addresses []string
	for _, m := range g.Members() {
		if m.ID != g.cfg.NodeID {
			addresses = append(addresses, m.Addresses...)
		}
	}
	return addresses
}

// Remembered are the addresses of other nodes that an earlier run left in the file.
func Remembered(file string) []string { return readAddresses(file) }

// readAddresses returns nothing from a file that is missing or damaged: it is only a hint.
func readAddresses(file string) []string {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var addresses []string
	_ = json.Unmarshal(data, &addresses)
	return addresses
}

func writeAddresses(file string, addresses []string) error {
	data, err := json.Marshal(addresses)
	if err != nil {
		return err
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
