package flow

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrFull is returned for a request that finds no seat and no place to wait.
var ErrFull = errors.New("too many requests")

// Limits are numbers of requests. All must be above 0.
type Limits struct {
	Seats            int // that are worked on at a time
	SeatsPerClient   int // of these, for one client
	Waiting          int
	WaitingPerClient int
}

// Queue gives out the seats. It is safe for concurrent use.
type Queue struct {
	limits Limits

	mu      sync.Mutex
	clients map[string]*client // those with requests
	running int
	waiting int
	served  uint64 // seats given so far
}

// client is one that has requests.
type client struct {
	name    string
	running int
	waiting []*ticket // the first has waited longest
	served  uint64    // when it was given a seat last, as Queue.served counts
}

// ticket is a request that waits; granted is closed when it has a seat.
type ticket struct{ granted chan struct{} }

// New returns a queue with all seats free.
func New(l Limits) *Queue { return &Queue{limits: l, clients: map[string]*client{}} }

// Enter waits for a seat; leave, to be called once, gives it back. The error is ErrFull, or that of ctx.
func (q *Queue) Enter(ctx context.Context, name string) (leave func(), err error) {
	q.mu.Lock()
	c := q.clients[name]
	if c == nil {
		c = &client{name: name}
		q.clients[name] = c
	}
	leave = func() { q.leave(c) }
	if q.running < q.limits.Seats && c.running < q.limits.SeatsPerClient {
		q.seat(c) // whoever waits now has all that one client may have
		q.mu.Unlock()
		return leave, nil
	}
	if q.waiting >= q.limits.Waiting || len(c.waiting) >= q.limits.WaitingPerClient {
		q.forgetIdle(c)
		q.mu.Unlock()
		return nil, ErrFull
	}
	t := &ticket{granted: make(chan struct{})}
	c.waiting = append(c.waiting, t)
	q.waiting++
	q.mu.Unlock()
	select {
	case <-t.granted:
		return leave, nil
	case <-ctx.Done():
		q.giveUp(c, t)
		return nil, ctx.Err()
	}
}

// giveUp takes back a ticket, or the seat that it was given meanwhile.
func (q *Queue) giveUp(c *client, t *ticket) {
	q.mu.Lock()
	i := slices.Index(c.waiting, t)
	if i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
		q.waiting--
		q.forgetIdle(c)
	}
	q.mu.Unlock()
	if i < 0 {
		q.leave(c)
	}
}

func (q *Queue) leave(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	c.running--
	q.forgetIdle(c)
	for q.running < q.limits.Seats {
		next := q.next()
		if next == nil {
			return
		}
		t := next.waiting[0]
		next.waiting = slices.Delete(next.waiting, 0, 1)
		q.waiting--
		q.seat(next)
		close(t.granted)
	}
}

// seat gives c a free seat.
func (q *Queue) seat(c *client) {
	q.running++
	q.served++
	c.running++
	c.served = q.served
}

// next is the client whose turn it is; nil when none waits that may have a seat.
func (q *Queue) next() *client {
	var best *client
	for _, c := range q.clients {
		if len(c.waiting) == 0 || c.running >= q.limits.SeatsPerClient {
			continue
		}
		if best == nil || c.running < best.running || c.running == best.running && c.served < best.served {
			best = c
		}
	}
	return best
}

func (q *Queue) forgetIdle(c *client) {
	if c.running == 0 && len(c.waiting) == 0 {
		delete(q.clients, c.name)
	}
}
