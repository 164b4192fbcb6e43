package placement

import (
	"fmt"
	"slices"
	"strings"
)

// NoNodes is what Explain says when the cluster is empty.
const NoNodes = "no nodes available to schedule pods"

// Explain says why no node takes the demand, as kube-scheduler words it: "0/3 nodes are available: 1 Insufficient cpu,
// 2 node(s) were unschedulable." Each node counts with the first rule that refuses it, or with every resource it lacks.
func (c *Cluster) Explain(d *Demand) string {
	if c.live == 0 {
		return NoNodes
	}
	cl := c.classOf(d.rules)
	gates := c.relationsOf(c.groupOf(d), cl).gates(nil)
	counts := map[string]int{}
	for i := range c.records {
		if c.records[i].node == nil {
			continue
		}
		for _, reason := range c.reasons(i, d, cl, gates) {
			counts[reason]++
		}
	}
	return c.tell(counts)
}

// tell words how many nodes have which reason.
func (c *Cluster) tell(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", c.live, strings.Join(parts, ", "))
}

func (c *Cluster) reasons(i int, d *Demand, cl *class, gates []gate) []string {
	r, s := &c.records[i], &c.slots[i]
	if reason := cl.refuse(r.node); reason != "" {
		return []string{reason}
	}
	if r.portsTaken(d) {
		return []string{"node(s) didn't have free ports for the requested pod ports"}
	}
	var out []string
	if s.freePods < 1 {
		out = append(out, "Too many pods")
	}
	lack := func(free, need int64, name string) {
		if free < floor(need) {
			out = append(out, "Insufficient "+name)
		}
	}
	lack(s.freeCPU, d.milliCPU, "cpu")
	lack(s.freeMemory, d.memory, "memory")
	lack(s.freeDisk, d.disk, "ephemeral-storage")
	for _, a := range d.extended {
		if r.lacks(a) {
			out = append(out, "Insufficient "+string(a.name))
		}
	}
	if reason := refuse(gates, i); reason != "" && len(out) == 0 {
		out = append(out, reason)
	}
	return out
}
