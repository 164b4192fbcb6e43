package placement

import (
	"cmp"
	"maps"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// slot is what the scan reads of one node: one cache line. Free amounts may be negative.
type slot struct {
	freeCPU, freeMemory, freeDisk, freePods int64
	perCPU, perMemory                       float64 // 1/allocatable
	scoreCPU, scoreMemory                   int64   // allocatable less what is used, for scoring
}

// record is the rest of a node.
type record struct {
	node     *corev1.Node // nil: pods are bound to a node that is not there
	pods     int
	used     slot // only its free amounts, as sums of demands
	extended map[corev1.ResourceName]int64
	ports    map[port]int
}

// Cluster is the nodes and what is used of them. It is not safe for concurrent use.
type Cluster struct {
	slots   []slot
	records []record
	index   map[string]int32
	empty   []int32 // slots to use again
	live    int     // nodes that are there
	next    int     // where the next scan begins, so that equal nodes take turns
	classes map[string]*class
	owners  map[types.UID]map[int32]int32 // pods of one owner by slot

	// What pods are to each other: see group, tally and relations.
	groups     map[string]*group
	idle       int // groups without pods
	topologies map[string]*topology
	tallies    map[string]*tally
	borne      map[string]*borne
	namespaces map[string]labels.Set
	generation int  // goes up when relations must be bound anew
	stale      bool // nodes have changed: tallies must be counted anew

	// The counts of one owner spread out by slot. Pods come grouped by owner, so this is filled rarely.
	spread      []int32
	spreadOwner types.UID

	// Room that scans use again.
	open       []gate
	candidates []candidate
}

// NewCluster returns a cluster without nodes.
func NewCluster() *Cluster {
	return &Cluster{
		index: map[string]int32{}, classes: map[string]*class{}, owners: map[types.UID]map[int32]int32{},
		groups: map[string]*group{}, topologies: map[string]*topology{}, tallies: map[string]*tally{},
		borne: map[string]*borne{}, namespaces: map[string]labels.Set{},
	}
}

// SetNode adds a node or takes over its changes. The node is kept and not modified.
func (c *Cluster) SetNode(node *corev1.Node) {
	i := c.slotOf(node.Name)
	r := &c.records[i]
	if r.node == nil {
		c.live++
	}
	c.stale = c.stale || r.node == nil || movesPods(r.node, node)
	r.node = node
	c.refresh(i)
	for _, cl := range c.classes {
		cl.judge(i, node)
	}
}

// movesPods says whether a node's change may put its pods into other domains, or make them count or not.
func movesPods(was, is *corev1.Node) bool {
	return !maps.Equal(was.Labels, is.Labels) || !apiequality.Semantic.DeepEqual(was.Spec.Taints, is.Spec.Taints) ||
		was.Spec.Unschedulable != is.Spec.Unschedulable || !slices.Equal(implied(was), implied(is))
}

// RemoveNode takes a node away. What is bound to it stays counted until it is removed.
func (c *Cluster) RemoveNode(name string) {
	i, ok := c.index[name]
	if !ok || c.records[i].node == nil {
		return
	}
	c.live--
	c.records[i].node = nil
	c.stale = true
	c.refresh(i)
	for _, cl := range c.classes {
		cl.judge(i, nil)
	}
	c.release(name, i)
}

// Add counts a pod on a node, also on one that is not there.
func (c *Cluster) Add(node string, d *Demand) { c.count(node, d, 1) }

// Remove takes a pod from a node; it must have been added with an equal demand.
func (c *Cluster) Remove(node string, d *Demand) {
	c.count(node, d, -1)
	if i, ok := c.index[node]; ok {
		c.release(node, i)
	}
}

func (c *Cluster) count(node string, d *Demand, sign int64) {
	i := c.slotOf(node)
	r, s := &c.records[i], &c.slots[i]
	r.pods += int(sign)
	r.used.freeCPU += sign * d.milliCPU
	r.used.freeMemory += sign * d.memory
	r.used.freeDisk += sign * d.disk
	r.used.scoreCPU += sign * d.scoreCPU
	r.used.scoreMemory += sign * d.scoreMemory
	for _, a := range d.extended {
		if r.extended == nil {
			r.extended = map[corev1.ResourceName]int64{}
		}
		r.extended[a.name] += sign * a.n
	}
	for _, p := range d.ports {
		if r.ports == nil {
			r.ports = map[port]int{}
		}
		if r.ports[p] += int(sign); r.ports[p] == 0 {
			delete(r.ports, p)
		}
	}
	s.freeCPU -= sign * d.milliCPU
	s.freeMemory -= sign * d.memory
	s.freeDisk -= sign * d.disk
	s.freePods -= sign
	s.scoreCPU -= sign * d.scoreCPU
	s.scoreMemory -= sign * d.scoreMemory
	c.countOwner(i, d.owner, int32(sign))
	c.countGroup(i, d, int32(sign))
}

func (c *Cluster) countOwner(i int32, owner types.UID, sign int32) {
	if owner == "" {
		return
	}
	m := c.owners[owner]
	if m == nil {
		m = map[int32]int32{}
		c.owners[owner] = m
	}
	if m[i] += sign; m[i] == 0 {
		delete(m, i)
		if len(m) == 0 {
			delete(c.owners, owner)
		}
	}
	if c.spreadOwner == owner {
		c.spread[i] += sign
	}
}

// slotOf finds or makes the slot of a node.
func (c *Cluster) slotOf(name string) int32 {
	if i, ok := c.index[name]; ok {
		return i
	}
	var i int32
	if n := len(c.empty); n > 0 {
		i, c.empty = c.empty[n-1], c.empty[:n-1]
	} else {
		i = int32(len(c.slots))
		c.slots = append(c.slots, slot{})
		c.records = append(c.records, record{})
		c.spread = append(c.spread, 0)
		for _, cl := range c.classes {
			cl.grow()
		}
	}
	c.index[name] = i
	c.stale = true
	c.refresh(i)
	return i
}

// release frees the slot of a node that is gone once nothing is bound to it.
func (c *Cluster) release(name string, i int32) {
	if r := &c.records[i]; r.node == nil && r.pods == 0 {
		*r = record{}
		c.slots[i] = slot{}
		delete(c.index, name)
		c.empty = append(c.empty, i)
	}
}

// refresh computes a slot from its node's allocatable resources and what is used.
func (c *Cluster) refresh(i int32) {
	r, s := &c.records[i], &c.slots[i]
	*s = slot{}
	if r.node != nil {
		a := r.node.Status.Allocatable
		if len(a) == 0 {
			a = r.node.Status.Capacity
		}
		cpu, memory := a.Cpu().MilliValue(), a.Memory().Value()
		s.freeCPU, s.freeMemory, s.freePods = cpu, memory, a.Pods().Value()
		s.freeDisk = math.MaxInt64 / 2 // a node that states none does not limit it
		if disk, ok := a[corev1.ResourceEphemeralStorage]; ok {
			s.freeDisk = disk.Value()
		}
		s.scoreCPU, s.scoreMemory = cpu, memory
		s.perCPU, s.perMemory = inverse(cpu), inverse(memory)
	}
	s.freeCPU -= r.used.freeCPU
	s.freeMemory -= r.used.freeMemory
	s.freeDisk -= r.used.freeDisk
	s.freePods -= int64(r.pods)
	s.scoreCPU -= r.used.scoreCPU
	s.scoreMemory -= r.used.scoreMemory
}

func inverse(n int64) float64 {
	if n <= 0 {
		return 0
	}
	return 1 / float64(n)
}

func sorted(in []amount) []amount {
	slices.SortFunc(in, func(a, b amount) int { return cmp.Compare(a.name, b.name) })
	return in
}
