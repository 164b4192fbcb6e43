package placement

import (
	"math"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// topology is the nodes by their value of one label: domains are numbered from 1, 0 is a node without the label.
type topology struct {
	of      []int32 // by slot
	domains int32   // and the one without a label
}

// tally counts pods of some groups by domain, and is kept up to date with every pod that comes or goes.
type tally struct {
	topologyKey string
	matches     func(*group) bool       // nil: the groups that bear a term join by themselves
	eligible    func(*corev1.Node) bool // nodes whose pods count; nil: all
	on          func(slot int32) bool   // the same by slot, as of the last count
	topo        *topology
	counts      []int32 // by domain
	total       int32   // without those in no domain

	// For spreading: how many domains with eligible nodes hold how many pods, and the least.
	spreads bool
	here    []bool // the domain has an eligible node
	domains int32
	held    map[int32]int32
	least   int32
}

func (t *tally) add(slot, n int32) {
	if t.on != nil && !t.on(slot) {
		return
	}
	domain := t.topo.of[slot]
	was := t.counts[domain]
	t.counts[domain] = was + n
	if domain == 0 {
		return
	}
	t.total += n
	if t.spreads && t.here[domain] {
		t.move(was, was+n)
	}
}

// move keeps the least count when a domain's count changes.
func (t *tally) move(from, to int32) {
	if t.held[from]--; t.held[from] == 0 {
		delete(t.held, from)
	}
	t.held[to]++
	switch {
	case to < t.least:
		t.least = to
	case from == t.least && t.held[from] == 0:
		t.least = math.MaxInt32
		for n := range t.held {
			t.least = min(t.least, n)
		}
	}
}

// kinds of terms that pods bear and that concern others.
type bearing byte

const (
	avoided bearing = 'a' // required anti-affinity: others that match stay away
	liked   bearing = 'l' // what draws others that match, or pushes them off, by the term's weight
)

// borne counts the pods that bear a term.
type borne struct {
	*tally
	term term
	kind bearing
}

// maxTallies is how many different counts are kept up to date beside some for each group; when there are more, those in use
// are made anew.
const maxTallies = 1024

// bear counts a group with all others that bear the same terms.
func (c *Cluster) bear(g *group, terms []term, kind bearing) {
	for _, t := range terms {
		key := string(kind) + t.key
		if kind == liked {
			key += "\x00" + strconv.Itoa(int(t.weight))
		}
		b := c.borne[key]
		if b == nil {
			b = &borne{tally: &tally{topologyKey: t.topologyKey}, term: t, kind: kind}
			c.borne[key] = b
			c.prepare(b.tally)
			c.generation++ // whom it concerns finds out when it is placed
		}
		g.tallies = append(g.tallies, b.tally)
	}
}

// tallyOf finds or makes the count of the groups that match.
func (c *Cluster) tallyOf(key string, fresh func() *tally) *tally {
	if t := c.tallies[key]; t != nil {
		return t
	}
	t := fresh()
	c.tallies[key] = t
	c.prepare(t)
	for _, g := range c.groups {
		if !t.matches(g) {
			continue
		}
		g.tallies = append(g.tallies, t)
		for slot, n := range g.slots {
			t.add(slot, n)
		}
	}
	return t
}

// prepare lays a tally out over the domains, with nothing counted.
func (c *Cluster) prepare(t *tally) {
	t.topo = c.topologyOf(t.topologyKey)
	t.counts, t.total = make([]int32, t.topo.domains), 0
	if t.eligible != nil {
		on := make([]bool, len(c.slots))
		for i := range on {
			on[i] = c.records[i].node != nil && t.eligible(c.records[i].node)
		}
		t.on = func(slot int32) bool { return on[slot] }
	}
	if !t.spreads {
		return
	}
	t.here, t.domains, t.least = make([]bool, t.topo.domains), 0, 0
	for i := range c.slots {
		if d := t.topo.of[i]; d > 0 && !t.here[d] && t.on(int32(i)) {
			t.here[d] = true
			t.domains++
		}
	}
	t.held = map[int32]int32{}
	if t.domains > 0 {
		t.held[0] = t.domains
	}
}

func (c *Cluster) topologyOf(key string) *topology {
	if t := c.topologies[key]; t != nil {
		return t
	}
	t := &topology{of: make([]int32, len(c.slots)), domains: 1}
	ids := map[string]int32{}
	for i := range c.records {
		node := c.records[i].node
		if node == nil {
			continue
		}
		value, has := node.Labels[key]
		if !has {
			continue
		}
		id, known := ids[value]
		if !known {
			id = t.domains
			ids[value] = id
			t.domains++
		}
		t.of[i] = id
	}
	c.topologies[key] = t
	return t
}

// recount counts everything anew after nodes have changed.
func (c *Cluster) recount() {
	c.stale = false
	c.generation++
	clear(c.topologies)
	for _, t := range c.tallies {
		c.prepare(t)
	}
	for _, b := range c.borne {
		c.prepare(b.tally)
	}
	for _, g := range c.groups {
		for slot, n := range g.slots {
			for _, t := range g.tallies {
				t.add(slot, n)
			}
		}
	}
}

// forget drops all tallies. Those that are still needed are made again.
func (c *Cluster) forget() {
	clear(c.tallies)
	clear(c.borne)
	for _, g := range c.groups {
		c.join(g)
	}
	c.stale = true
}

// SetNamespace tells of a namespace's labels, which terms may select by.
func (c *Cluster) SetNamespace(name string, is map[string]string) {
	if labels.Equals(c.namespaces[name], is) {
		return
	}
	if len(is) == 0 {
		delete(c.namespaces, name)
	} else {
		c.namespaces[name] = is
	}
	for _, g := range c.groups {
		if g.namespace == name {
			c.forget()
			return
		}
	}
}

// RemoveNamespace forgets a namespace's labels.
func (c *Cluster) RemoveNamespace(name string) { c.SetNamespace(name, nil) }
