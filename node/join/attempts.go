package join

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Of one address so many requests in a row may be refused, and one more each refusalInterval. Guessing a token takes far more; this
// keeps whoever tries from keeping the cluster busy.
const (
	refusalBurst    = 10
	refusalInterval = 6 * time.Second
	mostAddresses   = 1024
)

// attempts counts the refused requests of each address.
type attempts struct {
	mu sync.Mutex
	by map[netip.Prefix]*rate.Limiter
}

func newAttempts() *attempts { return &attempts{by: map[netip.Prefix]*rate.Limiter{}} }

// tooMany reports whether remote (host:port) was refused too often.
func (a *attempts) tooMany(remote string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	limiter := a.by[source(remote)]
	return limiter != nil && limiter.TokensAt(now) < 1
}

// refused counts one more.
func (a *attempts) refused(remote string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := source(remote)
	if a.by[from] == nil {
		a.makeRoom(now)
		a.by[from] = rate.NewLimiter(rate.Every(refusalInterval), refusalBurst)
	}
	a.by[from].AllowN(now, 1)
}

// makeRoom forgets those who have not been refused for long; all, when there are too many others.
func (a *attempts) makeRoom(now time.Time) {
	if len(a.by) < mostAddresses {
		return
	}
	for from, limiter := range a.by {
		if limiter.TokensAt(now) >= refusalBurst {
			delete(a.by, from)
		}
	}
	if len(a.by) >= mostAddresses {
		clear(a.by)
	}
}

// source is who is counted together: one IPv4 address, or a network of IPv6, whose hosts choose their addresses themselves.
func source(remote string) netip.Prefix {
	const network6 = 64
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := addr.Addr().Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = network6
	}
	prefix, _ := ip.WithZone("").Prefix(bits)
	return prefix
}
