package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

// keysTimeout bounds the wait for others to hear that this node has new keys.
const keysTimeout = time.Second

// Keys are what the gossip is encrypted with: by the first, and what is encrypted with another is understood.
type Keys struct {
	Generation uint64 // of the cluster's keys; the others are told which a node has
	Keys       [][]byte
}

func newKeyring(keys Keys) (*memberlist.Keyring, error) {
	if len(keys.Keys) == 0 {
		return nil, errors.New("the gossip needs a key")
	}
	return memberlist.NewKeyring(keys.Keys, keys.Keys[0])
}

// SetKeys goes on with other keys, and tells the others.
func (g *Gossip) SetKeys(keys Keys) error {
	g.guard.keys.Store(&keys.Keys)
	var errs []error
	for _, key := range keys.Keys {
		errs = append(errs, g.ring.AddKey(key))
	}
	errs = append(errs, g.ring.UseKey(keys.Keys[0]))
	for _, key := range g.ring.GetKeys() {
		if !slices.ContainsFunc(keys.Keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			errs = append(errs, g.ring.RemoveKey(key))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("change the gossip's keys: %w", err)
	}
	g.generation.Store(keys.Generation)
	if err := g.list.UpdateNode(keysTimeout); err != nil {
		g.cfg.Log.Debug("the other nodes were not told of new keys yet", "error", err)
	}
	return nil
}
