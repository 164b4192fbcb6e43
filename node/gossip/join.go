package gossip

import (
	"context"
	"math/rand/v2"
)

// joinAtOnce is how many addresses are tried side by side: one that does not answer takes its time.
const joinAtOnce = 8

// joinAny reports whether a node answered at one of the addresses; of many it tries some.
func (g *Gossip) joinAny(ctx context.Context, addresses []string) bool {
	order := rand.Perm(len(addresses))
	order = order[:min(len(order), joinAtOnce)]
	joined := make(chan bool, len(order))
	for _, i := range order {
		g.joining.Go(func() { // memberlist bounds its time
			n, err := g.list.Join(addresses[i : i+1])
			if err != nil {
				g.cfg.Log.Debug("a node does not answer the gossip", "address", addresses[i], "error", err)
			}
			joined <- n > 0
		})
	}
	for range order {
		select {
		case ok := <-joined:
			if ok {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
	return false
}
