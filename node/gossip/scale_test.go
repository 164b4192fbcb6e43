//go:build !race

// The race detector falls over now and then when there are so many goroutines (a fault in its own store of stacks, with Go 1.26), and would
// take ten times as long: what it would find here it finds in the package's other tests.

package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is many nodes in one process, each as in the product but for the network and the file that remembers addresses.
type crowd struct {
	t     *testing.T
	wire  *wire
	nodes []*simulated
}

type simulated struct {
	*Gossip
	id   string
	host *host
}

// newCrowd starts members until there are so many, ten each tenth of a second, and lets their news settle.
func newCrowd(t *testing.T, count, spare int, settle time.Duration) *crowd {
	c := &crowd{t: t, wire: &wire{hosts: map[string]*host{}}}
	hosts := make([]*host, count+spare)
	for i := range hosts {
		hosts[i] = c.wire.add(i + 1)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		stop()
		for _, n := range c.nodes {
			if err := n.list.Shutdown(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute) // connections that are being made to nodes without power
		running.Wait()
	})
	for i, h := range hosts {
		id := fmt.Sprintf("%032x", i+1)
		g, err := New(Config{
			NodeID: id, Name: fmt.Sprint("node-", i+1), Version: "v1.2.3", Addresses: h.addresses, Port: h.addr.Port, Keys: Keys{Keys: [][]byte{make([]byte, 32)}},
			Packets: h, Streams: h, Dial: h.dial, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, &simulated{g, id, h})
		running.Go(func() { _ = g.transport.run(ctx) })
		running.Go(func() { _ = g.seek(ctx) })
	}
	for i := 1; i < count; i++ {
		c.join(c.nodes[i], c.nodes[rand.IntN(i)])
		if i%10 == 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	c.until("all know all", time.Hour, func() bool {
		return !slices.ContainsFunc(c.nodes[:count], func(n *simulated) bool { return n.count() != count })
	})
	time.Sleep(settle)
	return c
}

func (c *crowd) join(n, at *simulated) {
	c.t.Helper()
	if _, err := n.list.Join([]string{at.host.addr.String()}); err != nil {
		c.t.Fatal(err)
	}
}

func (n *simulated) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.alive)
}

func (n *simulated) knows(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.alive[id]
	return ok
}

// until waits for a condition, in the time of the simulation, and returns how long that took.
func (c *crowd) until(what string, most time.Duration, holds func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > most {
			c.t.Fatalf("%s: not within %v", what, most)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// converges waits until all nodes that have power know a node, or know it no more, and returns when half and when all did.
func (c *crowd) converges(what, id string, known bool) (half, all time.Duration) {
	c.t.Helper()
	began := time.Now()
	c.until(what, 5*time.Minute, func() bool {
		agree, of := 0, 0
		for _, n := range c.nodes {
			if n.host.down.Load() || n.id == id || n.count() == 1 {
				continue
			}
			of++
			if n.knows(id) == known {
				agree++
			}
		}
		if half == 0 && 2*agree >= of {
			half = time.Since(began)
		}
		return agree == of
	})
	return half, time.Since(began)
}

// traffic is what a node sends in a second, on average, over a time.
func (c *crowd) traffic(d time.Duration) (packets, bytes, streamed float64) {
	sum := func() (p, b, s float64) {
		for _, n := range c.nodes {
			p, b, s = p+float64(n.host.sent.Load()), b+float64(n.host.bytes.Load()), s+float64(n.host.streamed.Load())
		}
		return p, b, s
	}
	p0, b0, s0 := sum()
	time.Sleep(d)
	p1, b1, s1 := sum()
	per := float64(len(c.nodes)) * d.Seconds()
	return (p1 - p0) / per, (b1 - b0) / per, (s1 - s0) / per
}

// takenForDead is how many nodes are taken for dead, by at least one other, that have power.
func (c *crowd) takenForDead() int {
	wrong := 0
	for _, of := range c.nodes {
		if !of.host.down.Load() && of.count() > 1 && slices.ContainsFunc(c.nodes, func(n *simulated) bool {
			return !n.host.down.Load() && n.count() > 1 && !n.knows(of.id)
		}) {
			wrong++
		}
	}
	return wrong
}

// scenario is what the members go through.
type scenario struct {
	members, deaths              int
	settle, quiet, between, loss time.Duration
}

// TestScale has many members in one process, in a time of its own, which the load of the machine does not touch: how long they
// take to agree, and what that costs. COVEY_SCALE is how many; docs/scale.md has the figures for 1,000.
func TestScale(t *testing.T) {
	s := scenario{members: 100, deaths: 9, settle: 20 * time.Second, quiet: 90 * time.Second, between: 5 * time.Second, loss: 30 * time.Second}
	if text := os.Getenv("COVEY_SCALE"); text != "" {
		members, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		// News of as many joins takes two minutes to be told; states are compared each three minutes.
		s = scenario{members: members, deaths: 5, settle: 3 * time.Minute, quiet: 6 * time.Minute, between: 30 * time.Second, loss: 2 * time.Minute}
	}
	synctest.Test(t, func(t *testing.T) { s.play(t) })
}

// What all members have to agree within, and what each may send in a second.
const (
	agreeWithin = 10 * time.Second
	mostKiB     = 5
)

func (s *scenario) play(t *testing.T) {
	c := newCrowd(t, s.members, 1, s.settle)
	packets, bytes, streamed := c.traffic(s.quiet)
	report(t, "quiet: a node sends each second", "%.1f packets, %.2f KiB, and %.2f KiB in streams", packets, bytes/1024, streamed/1024)
	if all := (bytes + streamed) / 1024; all > mostKiB {
		t.Errorf("a node sends %.2f KiB each second", all)
	}
	newest := c.nodes[s.members]
	c.join(newest, c.nodes[s.members/2])
	half, all := c.converges("a join", newest.id, true)
	report(t, "a join: half, all know it after", "%v, %v", half, all)
	if all > agreeWithin {
		t.Errorf("a join is known after %v", all)
	}
	var took []time.Duration
	for i := range s.deaths {
		dies := c.nodes[1+i*s.members/s.deaths]
		dies.host.down.Store(true)
		_, all := c.converges("a death", dies.id, false)
		took = append(took, all)
		time.Sleep(s.between)
	}
	slices.Sort(took)
	report(t, "a death: all know it after", "%v", took)
	if median := took[s.deaths/2]; median > agreeWithin {
		t.Errorf("a death is known after %v", median)
	}
	c.lose(t, s)
}

// lose has three of ten packets not arrive, for a time.
func (c *crowd) lose(t *testing.T, s *scenario) {
	c.wire.loss.Store(300)
	packets, bytes, streamed := c.traffic(s.loss)
	report(t, "30 % of the packets lost: a node sends each second", "%.1f packets, %.2f KiB, and %.2f KiB in streams", packets, bytes/1024, streamed/1024)
	wrong := c.takenForDead()
	report(t, "after that time: taken for dead and alive", "%d nodes", wrong)
	if wrong > 0 {
		t.Errorf("%d nodes are taken for dead by others", wrong)
	}
	dies := c.nodes[s.members-1]
	dies.host.down.Store(true)
	_, all := c.converges("a death at 30 % loss", dies.id, false)
	report(t, "a death meanwhile: all know it after", "%v", all)
	c.wire.loss.Store(0)
	all = c.until("after the loss all know all", 5*time.Minute, func() bool { return c.takenForDead() == 0 })
	report(t, "after the loss: all know all after", "%v", all)
}

// report prints a row of docs/scale.md.
func report(t *testing.T, what, format string, values ...any) {
	t.Logf("| %s | %s |", what, fmt.Sprintf(format, values...))
}

var _ interface {
	net.PacketConn
	net.Listener
} = (*host)(nil)
