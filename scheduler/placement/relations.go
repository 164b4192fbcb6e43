package placement

import (
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// relations are a group's rules about other pods, bound to the tallies that they are checked with.
type relations struct {
	generation int
	affinity   []*tally
	selfAffine bool // matches its own affinity terms, so that the first of its kind may go anywhere
	avoids     []*tally
	avoidedBy  []*tally
	hard, soft []spread
	draws      []draw
}

type spread struct {
	*tally
	constraint
}

// draw is how much a pod of a tally draws the pod to its domain.
type draw struct {
	*tally
	weight float64
}

func (r *relations) plain() bool {
	return len(r.affinity)+len(r.avoids)+len(r.avoidedBy)+len(r.hard)+len(r.soft)+len(r.draws) == 0
}

// relationsOf binds a group's rules; they stay bound until nodes change or pods bear new terms.
func (c *Cluster) relationsOf(g *group, cl *class) *relations {
	if len(c.tallies)+len(c.borne) > maxTallies+8*len(c.groups) {
		c.forget()
	}
	if c.stale {
		c.recount()
	}
	if g.rules != nil && g.rules.generation == c.generation {
		return g.rules
	}
	r := &relations{generation: c.generation}
	g.rules = r
	all := func(other *group) bool {
		return !slices.ContainsFunc(g.affinity, func(t term) bool { return !t.matches(other, c.namespaces[other.namespace]) })
	}
	r.selfAffine = all(g)
	for _, t := range g.affinity { // a pod must match all terms to count for any
		r.affinity = append(r.affinity, c.tallyOf("all\x00"+termKeys(g.affinity)+"\x00"+t.topologyKey, func() *tally {
			return &tally{topologyKey: t.topologyKey, matches: all}
		}))
	}
	for _, t := range g.antiAffinity {
		r.avoids = append(r.avoids, c.tallyOfTerm(t))
	}
	for _, t := range g.preferred {
		r.draws = append(r.draws, draw{c.tallyOfTerm(t), float64(t.weight)})
	}
	for _, b := range c.borne {
		switch {
		case !b.term.matches(g, c.namespaces[g.namespace]):
		case b.kind == avoided:
			r.avoidedBy = append(r.avoidedBy, b.tally)
		default:
			r.draws = append(r.draws, draw{b.tally, float64(b.term.weight)})
		}
	}
	r.hard, r.soft = c.spreads(g, cl, g.hard), c.spreads(g, cl, g.soft)
	return r
}

func termKeys(terms []term) string {
	keys := make([]string, len(terms))
	for i := range terms {
		keys[i] = terms[i].key
	}
	return strings.Join(keys, "\x00")
}

func (c *Cluster) tallyOfTerm(t term) *tally {
	return c.tallyOf("term\x00"+t.key, func() *tally {
		return &tally{topologyKey: t.topologyKey, matches: func(g *group) bool { return t.matches(g, c.namespaces[g.namespace]) }}
	})
}

// spreads binds constraints. A node counts when it has the labels of all constraints of its kind, and as the policies
// say.
func (c *Cluster) spreads(g *group, cl *class, constraints []constraint) []spread {
	if len(constraints) == 0 {
		return nil
	}
	var keys []string
	for i := range constraints {
		keys = append(keys, constraints[i].topologyKey)
	}
	slices.Sort(keys)
	var out []spread
	for _, con := range constraints {
		key := "spread\x00" + con.key + "\x00" + strings.Join(keys, ",")
		if con.honorsAffinity || con.honorsTaints {
			key += "\x00" + cl.rules.key
		}
		out = append(out, spread{c.tallyOf(key, func() *tally {
			return &tally{
				topologyKey: con.topologyKey, spreads: true,
				matches: func(other *group) bool { return con.concerns(other, g.namespace) },
				eligible: func(node *corev1.Node) bool {
					return hasLabels(node, keys) && (!con.honorsAffinity || cl.selects(node)) && (!con.honorsTaints || cl.toleratesAll(node))
				},
			}
		}), con})
	}
	return out
}

func hasLabels(node *corev1.Node, keys []string) bool {
	for _, key := range keys {
		if _, has := node.Labels[key]; !has {
			return false
		}
	}
	return true
}

// gate lets a pod into the domains that hold at least low and at most high pods of a tally.
type gate struct {
	of, counts []int32
	low, high  int32
	labelled   bool // nodes without the label are refused
	reason     string
}

func (g *gate) lets(slot int) bool {
	domain := g.of[slot]
	if domain == 0 {
		return !g.labelled
	}
	n := g.counts[domain]
	return n >= g.low && n <= g.high
}

// gates are the relations as they stand now, in the order in which kube-scheduler asks.
func (r *relations) gates(into []gate) []gate {
	for i := range r.hard {
		s := &r.hard[i]
		least := s.least
		if s.domains < s.minDomains {
			least = 0
		}
		into = append(into, gate{s.topo.of, s.counts, math.MinInt32, least + s.maxSkew - s.self, true, notSpread})
	}
	low := int32(1)
	if r.selfAffine && !slices.ContainsFunc(r.affinity, func(t *tally) bool { return t.total > 0 }) {
		low = 0
	}
	for _, t := range r.affinity {
		into = append(into, gate{t.topo.of, t.counts, low, math.MaxInt32, true, notNear})
	}
	for _, t := range r.avoids {
		into = append(into, gate{t.topo.of, t.counts, 0, 0, false, notApart})
	}
	for _, t := range r.avoidedBy {
		into = append(into, gate{t.topo.of, t.counts, 0, 0, false, notWelcome})
	}
	return into
}

// The reasons are kube-scheduler's.
const (
	notSpread   = "node(s) didn't match pod topology spread constraints"
	notLabelled = notSpread + " (missing required label)"
	notNear     = "node(s) didn't match pod affinity rules"
	notApart    = "node(s) didn't match pod anti-affinity rules"
	notWelcome  = "node(s) didn't satisfy existing pods anti-affinity rules"
)

// refuse says why the gates keep the pod from a node; empty when they do not.
func refuse(gates []gate, slot int) string {
	for i := range gates {
		g := &gates[i]
		switch {
		case g.lets(slot):
		case g.reason == notSpread && g.of[slot] == 0:
			return notLabelled
		default:
			return g.reason
		}
	}
	return ""
}

// evenly scores how well a node serves the constraints that need not hold: 200 for each in a domain that has the fewest
// pods, less the more it has above that, the slower the larger maxSkew is; nothing without the label.
func (r *relations) evenly(slot int) float64 {
	score := 0.0
	for i := range r.soft {
		s := &r.soft[i]
		if domain := s.topo.of[slot]; domain > 0 {
			above := max(s.counts[domain]-s.least, 0)
			score += 200 / (1 + float64(above)/float64(max(s.maxSkew, 1)))
		}
	}
	return score
}

// pull is the weighted sum of the pods that draw to a node or push off it.
func (r *relations) pull(slot int) float64 {
	sum := 0.0
	for i := range r.draws {
		d := &r.draws[i]
		if domain := d.topo.of[slot]; domain > 0 {
			sum += d.weight * float64(d.counts[domain])
		}
	}
	return sum
}
