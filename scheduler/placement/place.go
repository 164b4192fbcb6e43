package placement

import "math"

// Place picks the best node for the demand and reports whether there is one. It counts nothing: call Add with the
// node to keep it. In a large cluster it looks at a share of the nodes only (as kube-scheduler does): enough fitting
// ones to choose well from.
func (c *Cluster) Place(d *Demand) (node string, ok bool) {
	if c.live == 0 {
		return "", false
	}
	cl := c.classOf(d.rules)
	c.spreadFor(d)
	var best int
	if rel := c.relationsOf(c.groupOf(d), cl); rel.plain() {
		best = c.scan(d, cl)
	} else {
		best = c.scanRelated(d, cl, rel)
	}
	if best < 0 {
		return "", false
	}
	return c.records[best].node.Name, true
}

func (c *Cluster) scan(d *Demand, cl *class) int {
	n, limit := len(c.slots), enough(c.live)
	plain := len(d.extended) == 0 && len(d.ports) == 0
	cpu, memory, disk := floor(d.milliCPU), floor(d.memory), floor(d.disk)
	best, bestScore := -1, math.Inf(-1)
	fit, bias, spread := cl.fit[:n], cl.bias[:n], c.spread[:n]
	i := c.next
	for seen := 0; seen < n && limit > 0; seen++ {
		if i++; i >= n {
			i = 0
		}
		s := &c.slots[i]
		if !fit[i] || s.freePods < 1 || s.freeCPU < cpu || s.freeMemory < memory || s.freeDisk < disk {
			continue
		}
		if !plain && !c.records[i].fits(d) {
			continue
		}
		limit--
		if score := s.score(d) + bias[i] + apart(spread[i]); score > bestScore {
			best, bestScore = i, score
		}
	}
	c.next = max(i, 0)
	return best
}

// candidate is a node that takes a pod: its score so far, and how much other pods draw to it.
type candidate struct {
	slot        int
	score, pull float64
}

// ownSpread is how much of the pull apart the pods of one owner have when they state themselves how to spread.
const ownSpread = 0.05

// scanRelated is scan for a pod that other pods matter to.
func (c *Cluster) scanRelated(d *Demand, cl *class, rel *relations) int {
	n, limit := len(c.slots), enough(c.live)
	plain := len(d.extended) == 0 && len(d.ports) == 0
	cpu, memory, disk := floor(d.milliCPU), floor(d.memory), floor(d.disk)
	weight := 1.0
	if len(rel.hard)+len(rel.soft) > 0 {
		weight = ownSpread
	}
	c.open, c.candidates = rel.gates(c.open[:0]), c.candidates[:0]
	i := c.next
scan:
	for seen := 0; seen < n && len(c.candidates) < limit; seen++ {
		if i++; i >= n {
			i = 0
		}
		s := &c.slots[i]
		if !cl.fit[i] || s.freePods < 1 || s.freeCPU < cpu || s.freeMemory < memory || s.freeDisk < disk {
			continue
		}
		for g := range c.open {
			if !c.open[g].lets(i) {
				continue scan
			}
		}
		if !plain && !c.records[i].fits(d) {
			continue
		}
		score := s.score(d) + cl.bias[i] + weight*apart(c.spread[i]) + rel.evenly(i)
		c.candidates = append(c.candidates, candidate{i, score, rel.pull(i)})
	}
	c.next = max(i, 0)
	return bestOf(c.candidates)
}

// bestOf adds 0 to 200 for the pull, in proportion to the least and the greatest there is, and gives the best slot.
func bestOf(candidates []candidate) int {
	least, most := math.Inf(1), math.Inf(-1)
	for i := range candidates {
		least, most = min(least, candidates[i].pull), max(most, candidates[i].pull)
	}
	best, bestScore := -1, math.Inf(-1)
	for i := range candidates {
		score := candidates[i].score
		if most > least {
			score += 200 * (candidates[i].pull - least) / (most - least)
		}
		if score > bestScore {
			best, bestScore = candidates[i].slot, score
		}
	}
	return best
}

// enough is how many fitting nodes are compared: all of a small cluster, a tenth of 5,000.
func enough(nodes int) int {
	if nodes <= 100 {
		return nodes
	}
	return max(100, nodes*max(50-nodes/125, 5)/100)
}

// floor is the least a node must have free. Who asks for nothing fits where nothing is left.
func floor(n int64) int64 {
	if n == 0 {
		return math.MinInt64
	}
	return n
}

// score says how free (0 to 100) and how evenly used (0 to 100) the node would be with the pod on it.
func (s *slot) score(d *Demand) float64 {
	cpu := max(float64(s.scoreCPU-d.scoreCPU)*s.perCPU, 0)
	memory := max(float64(s.scoreMemory-d.scoreMemory)*s.perMemory, 0)
	return 50*(cpu+memory) + 100 - 50*math.Abs(cpu-memory)
}

// apart favours nodes with fewer pods of the same owner.
func apart(same int32) float64 { return 200 / float64(1+same) }

// spreadFor lays out the counts of the demand's owner by slot.
func (c *Cluster) spreadFor(d *Demand) {
	if c.spreadOwner == d.owner {
		return
	}
	for i := range c.owners[c.spreadOwner] {
		c.spread[i] = 0
	}
	c.spreadOwner = d.owner
	for i, n := range c.owners[d.owner] {
		c.spread[i] = n
	}
}

// fits asks for what only few pods have: extended resources and host ports.
func (r *record) fits(d *Demand) bool {
	for _, a := range d.extended {
		if r.lacks(a) {
			return false
		}
	}
	return !r.portsTaken(d)
}

func (r *record) lacks(a amount) bool {
	q := r.node.Status.Allocatable[a.name]
	return q.Value()-r.extended[a.name] < a.n
}

func (r *record) portsTaken(d *Demand) bool {
	for _, p := range d.ports {
		for q := range r.ports {
			if p.clashes(q) {
				return true
			}
		}
	}
	return false
}
