package clock

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Clock knows what time it is.
type Clock struct {
	file    string
	wall    func() time.Time
	elapsed func() time.Duration
	log     *slog.Logger

	mu    sync.Mutex
	seen  reading            // what the file has
	told  reading            // by the server that let this node join
	peers map[string]reading // by node
	last  judgement
}

// judgement is what the time was when a clock was heard of last.
type judgement struct {
	reading
	common bool // enough clocks were known
}

// reading is what a clock said, and when that was.
type reading struct {
	time time.Time
	at   time.Duration // as elapsed tells
}

// set is before which no clock can be that was ever set: covey is younger.
var set = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// end is after which no clock is believed: what is issued by it could not be written down, or would be good for ever.
var end = time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// lifetime is how many years the time to issue by may be ahead of the time to judge by: no clock that was set badly is further off.
	lifetime = 100
	// grain is how much the time must differ from what the file has for it to be written again.
	grain = 24 * time.Hour
	// enough clocks may have a wrong one among them.
	enough = 3
	// amiss is how far this machine's clock is from what enough clocks say when it is wrong.
	amiss = 5 * time.Minute
)

// Open reads the latest time that was seen from file; a file that is missing or damaged only says less. wall is the machine's clock,
// and elapsed the time since some moment, which no change of that clock touches.
func Open(file string, wall func() time.Time, elapsed func() time.Duration, log *slog.Logger) *Clock {
	c := &Clock{file: file, wall: wall, elapsed: elapsed, log: log, peers: map[string]reading{}}
	data, err := os.ReadFile(file)
	if err == nil {
		if t, err := time.Parse(time.RFC3339, strings.TrimSpace(string(data))); err == nil && !t.After(end) {
			c.seen = reading{t, elapsed()}
		}
	}
	c.judge()
	if now := wall(); now.Before(c.seen.time.Add(-grain)) || now.Before(set) {
		log.Warn("the machine's clock is behind; certificates are judged by the latest time that this node has seen, and by the other nodes' clocks",
			"clock", now.UTC().Format(time.RFC3339), "seen", c.seen.time.UTC().Format(time.RFC3339), "file", file)
	}
	return c
}

// Observe takes note of what the clock of another node says now.
func (c *Clock) Observe(node string, t time.Time) {
	if t.Before(set) || t.After(end) {
		return
	}
	c.mu.Lock()
	c.peers[node] = reading{t, c.elapsed()}
	c.judge()
	c.mu.Unlock()
	c.Remember()
}

// Forget drops what the clocks of nodes said that are gone.
func (c *Clock) Forget(gone func(node string) bool) {
	c.mu.Lock()
	nodes := slices.Collect(maps.Keys(c.peers))
	c.mu.Unlock()
	nodes = slices.DeleteFunc(nodes, func(node string) bool { return !gone(node) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, node := range nodes {
		delete(c.peers, node)
	}
	c.judge()
}

// Start takes note of what the clock of the server says that lets this node join: what is issued is to be good for that server. It is
// the time if this machine's clock was never set, and no time was seen.
func (c *Clock) Start(t time.Time) {
	if t.After(end) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = reading{t, c.elapsed()}
	if c.own().Before(set) && !t.Before(set) {
		c.remember(t)
		c.judge()
	}
}

// Now is the time to judge by: the second latest of the clocks that are known, so that one which is ahead misleads nobody. Where fewer
// than three are known it is this machine's, which is never behind what was seen before; the others' when this one was never set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judged()
}

func (c *Clock) judged() time.Time {
	own, known := c.own(), c.known()
	switch {
	case len(known) >= enough:
		return known[1]
	case own.Before(set) && len(known) > 0:
		return known[0]
	}
	return own
}

// Stamp is the time to write into objects: what this machine's clock says, unless that was never set, or is minutes from what enough clocks say.
// It is cheap.
func (c *Clock) Stamp() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, judged := c.wall(), c.now(c.last.reading)
	wrong := wall.Before(set)
	if c.last.common {
		wrong = wall.Sub(judged).Abs() > amiss
	}
	if wrong {
		return judged
	}
	return wall
}

func (c *Clock) judge() {
	c.last = judgement{reading{c.judged(), c.elapsed()}, len(c.known()) >= enough}
}

// Latest is the time to issue by: the latest of all clocks. What is issued must be good for those whose clock is right, whichever that
// is. Where it is known what time it is about, it is no more than a lifetime after that.
func (c *Clock) Latest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	latest := c.own()
	for _, t := range append(c.known(), c.now(c.told)) {
		if t.After(latest) {
			latest = t
		}
	}
	now := c.judged()
	if most := now.AddDate(lifetime, 0, 0); !now.Before(set) && latest.After(most) {
		return most
	}
	return latest
}

// own is what this machine's clock says, or what it would if it had been set when the latest time was seen.
func (c *Clock) own() time.Time {
	wall := c.wall()
	if seen := c.now(c.seen); seen.After(wall) {
		return seen
	}
	return wall
}

func (c *Clock) now(r reading) time.Time {
	if r.time.IsZero() {
		return r.time
	}
	return r.time.Add(c.elapsed() - r.at)
}

// known are the clocks that were set, the latest first.
func (c *Clock) known() []time.Time {
	var all []time.Time
	if own := c.own(); !own.Before(set) {
		all = append(all, own)
	}
	for _, r := range c.peers {
		all = append(all, c.now(r))
	}
	slices.SortFunc(all, func(a, b time.Time) int { return b.Compare(a) })
	return all
}

// Remember writes the time to the file if that has another day.
func (c *Clock) Remember() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.judged()
	if now.Before(set) || now.Sub(c.now(c.seen)).Abs() < grain && now.Sub(c.seen.time).Abs() < grain {
		return
	}
	c.remember(now)
}

func (c *Clock) remember(t time.Time) {
	c.seen = reading{t, c.elapsed()}
	if err := write(c.file, t.UTC().Format(time.RFC3339)+"\n"); err != nil {
		c.log.Warn("the time was not written; after a restart this node depends on the machine's clock", "error", err)
	}
}

func write(file, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp*")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(text)
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
