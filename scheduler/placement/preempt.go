package placement

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// Bound is a pod on a node, as one to be preempted perhaps.
type Bound struct {
	types.NamespacedName
	Demand   *Demand
	Priority int32
	Started  time.Time // or created, when it has not started
	Ending   bool      // it is being deleted anyway
}

// Budget is what a PodDisruptionBudget says: of the pods that it selects, so many may be taken away.
type Budget struct {
	Namespace string
	Selector  labels.Selector
	Allowed   int32
	Disrupted map[string]bool // names of pods that have been counted already
}

// Preemption is the pods that go so that another fits on the node, the most important first. It may be none when enough
// of them are ending already.
type Preemption struct {
	Node    string
	Victims []Bound

	broken int // budgets
}

// What Preempt says of a node on which nothing can be gained. The wording is kube-scheduler's.
const (
	notHelpful = "Preemption is not helpful for scheduling"
	noVictims  = "No preemption victims found for incoming pod"
)

// Preempt finds the node on which the fewest and least important pods, all of lower priority, must go for the demand to
// fit: with the fewest budgets broken, then the lowest highest priority, then the least sum of priorities, then the
// fewest pods, then those started last. When there is none, it says why, as Explain does. Nothing is taken away yet.
//
// What is bound to a node is asked for when the node comes into question.
func (c *Cluster) Preempt(d *Demand, priority int32, bound func(node string) []Bound, budgets []Budget) (*Preemption, string) {
	if c.live == 0 {
		return nil, NoNodes
	}
	counts := map[string]int{}
	var best *Preemption
	for found, i := 0, 0; i < len(c.records) && found < max(100, c.live/10); i++ {
		node := c.records[i].node
		if node == nil {
			continue
		}
		p, reasons := c.preemptOn(i, d, priority, bound, budgets)
		for _, reason := range reasons {
			counts[reason]++
		}
		if p == nil {
			continue
		}
		found++
		if best == nil || p.compare(best) < 0 {
			best = p
		}
	}
	if best == nil {
		return nil, c.tell(counts)
	}
	return best, ""
}

func (c *Cluster) preemptOn(i int, d *Demand, priority int32, bound func(string) []Bound, budgets []Budget) (*Preemption, []string) {
	cl := c.classOf(d.rules)
	node := c.records[i].node
	if cl.refuse(node) != "" || c.isFixed(i, d, cl) {
		return nil, []string{notHelpful}
	}
	lower := slices.DeleteFunc(slices.Clone(bound(node.Name)), func(b Bound) bool { return b.Priority >= priority })
	if len(lower) == 0 {
		return nil, []string{noVictims}
	}
	slices.SortStableFunc(lower, moreImportant)
	for _, b := range lower {
		c.count(node.Name, b.Demand, -1)
	}
	reasons := c.reasonsNow(i, d, cl)
	p := &Preemption{Node: node.Name}
	gone := map[types.NamespacedName]bool{}
	if len(reasons) == 0 {
		breaks := c.breaking(lower, budgets)
		for _, b := range reprieveOrder(lower, breaks) {
			c.count(node.Name, b.Demand, 1)
			if len(c.reasonsNow(i, d, cl)) == 0 {
				continue
			}
			c.count(node.Name, b.Demand, -1)
			gone[b.NamespacedName] = true
			if !b.Ending {
				p.broken += breaks[b.NamespacedName]
			}
		}
	}
	for _, b := range lower {
		if len(reasons) > 0 || gone[b.NamespacedName] {
			c.count(node.Name, b.Demand, 1)
		}
		if gone[b.NamespacedName] && !b.Ending {
			p.Victims = append(p.Victims, b)
		}
	}
	if len(reasons) > 0 {
		return nil, reasons
	}
	return p, nil
}

// isFixed says that no pod's end changes why the node refuses: it lacks a label, or the pod must be near others.
func (c *Cluster) isFixed(i int, d *Demand, cl *class) bool {
	reason := refuse(c.relationsOf(c.groupOf(d), cl).gates(nil), i)
	return reason == notLabelled || reason == notNear
}

func (c *Cluster) reasonsNow(i int, d *Demand, cl *class) []string {
	return c.reasons(i, d, cl, c.relationsOf(c.groupOf(d), cl).gates(nil))
}

// Fits says whether the demand fits on a node now.
func (c *Cluster) Fits(node string, d *Demand) bool {
	i, ok := c.index[node]
	return ok && c.records[i].node != nil && len(c.reasonsNow(int(i), d, c.classOf(d.rules))) == 0
}

// moreImportant puts those of higher priority first, then those that have run for longer.
func moreImportant(a, b Bound) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Started.Compare(b.Started),
		strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// reprieveOrder is who is let off first if there is room: what would break a budget, then the more important. What is
// ending is not let off before others, for its room comes by itself.
func reprieveOrder(pods []Bound, breaks map[types.NamespacedName]int) []Bound {
	rank := func(b Bound) int {
		switch {
		case b.Ending:
			return 2
		case breaks[b.NamespacedName] > 0:
			return 0
		}
		return 1
	}
	pods = slices.Clone(pods)
	slices.SortStableFunc(pods, func(a, b Bound) int { return cmp.Compare(rank(a), rank(b)) })
	return pods
}

// breaking counts the budgets that each pod's end would break, if those before it in the list were gone.
func (c *Cluster) breaking(pods []Bound, budgets []Budget) map[types.NamespacedName]int {
	breaks, left := map[types.NamespacedName]int{}, make([]int32, len(budgets))
	for i := range budgets {
		left[i] = budgets[i].Allowed
	}
	for _, b := range pods {
		if b.Ending {
			continue
		}
		g := c.groupOf(b.Demand)
		for i := range budgets {
			if budgets[i].Namespace != b.Namespace || budgets[i].Disrupted[b.Name] || !budgets[i].Selector.Matches(g.labels) {
				continue
			}
			if left[i]--; left[i] < 0 {
				breaks[b.NamespacedName]++
			}
		}
	}
	return breaks
}

// compare puts the preemption first that hurts less.
func (p *Preemption) compare(q *Preemption) int {
	return cmp.Or(cmp.Compare(p.broken, q.broken), cmp.Compare(p.highest(), q.highest()), cmp.Compare(p.sum(), q.sum()),
		cmp.Compare(len(p.Victims), len(q.Victims)), q.started().Compare(p.started()))
}

func (p *Preemption) highest() int32 {
	if len(p.Victims) == 0 {
		return math.MinInt32
	}
	return p.Victims[0].Priority
}

// sum adds the priorities up, each raised to be positive, so that one more pod never makes it less.
func (p *Preemption) sum() int64 {
	n := int64(0)
	for _, b := range p.Victims {
		n += int64(b.Priority) + math.MaxInt32 + 1
	}
	return n
}

// started is when the first of the most important victims began.
func (p *Preemption) started() time.Time {
	var at time.Time
	for _, b := range p.Victims {
		if b.Priority == p.highest() && (at.IsZero() || b.Started.Before(at)) {
			at = b.Started
		}
	}
	return at
}
