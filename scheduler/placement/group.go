package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// group is pods that are alike to all rules about other pods: those of one namespace with the same labels and the same
// terms. What is to be known of pods is kept once per group, with a number of pods by slot.
type group struct {
	namespace string
	labels    labels.Set
	leaving   bool // being deleted

	affinity, antiAffinity, preferred []term
	hard, soft                        []constraint

	pods    int
	slots   map[int32]int32
	tallies []*tally // those that count its pods
	rules   *relations
}

// kin is the key of a pod's group. It is also all that is to be known of the group: newGroup reads it back.
func kin(pod *corev1.Pod) string {
	part := corev1.Pod{}
	part.Namespace, part.Labels = pod.Namespace, pod.Labels
	if a := pod.Spec.Affinity; a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil) {
		part.Spec.Affinity = &corev1.Affinity{PodAffinity: a.PodAffinity, PodAntiAffinity: a.PodAntiAffinity}
	}
	if len(pod.Spec.TopologySpreadConstraints) > 0 {
		// Which nodes count depends on the rules about nodes, too.
		part.Spec.TopologySpreadConstraints = pod.Spec.TopologySpreadConstraints
		part.Spec.NodeSelector, part.Spec.Tolerations, part.Spec.Affinity = pod.Spec.NodeSelector, pod.Spec.Tolerations, pod.Spec.Affinity
	}
	b, err := part.Marshal() // map keys come sorted, so equal pods have equal keys
	if err != nil {
		return ""
	}
	if pod.DeletionTimestamp != nil {
		return "-" + string(b)
	}
	return "+" + string(b)
}

func newGroup(key string) *group {
	g := &group{slots: map[int32]int32{}}
	var part corev1.Pod
	if key == "" || part.Unmarshal([]byte(key[1:])) != nil {
		return g
	}
	g.namespace, g.labels, g.leaving = part.Namespace, part.Labels, key[0] == '-'
	if a := part.Spec.Affinity; a != nil {
		g.readTerms(a)
	}
	for i := range part.Spec.TopologySpreadConstraints {
		c := newConstraint(g, &part.Spec.TopologySpreadConstraints[i])
		if part.Spec.TopologySpreadConstraints[i].WhenUnsatisfiable == corev1.ScheduleAnyway {
			g.soft = append(g.soft, c)
		} else {
			g.hard = append(g.hard, c)
		}
	}
	return g
}

func (g *group) readTerms(a *corev1.Affinity) {
	if likes := a.PodAffinity; likes != nil {
		for i := range likes.RequiredDuringSchedulingIgnoredDuringExecution {
			g.affinity = append(g.affinity, newTerm(g, &likes.RequiredDuringSchedulingIgnoredDuringExecution[i], requiredWeight))
		}
		for i := range likes.PreferredDuringSchedulingIgnoredDuringExecution {
			w := &likes.PreferredDuringSchedulingIgnoredDuringExecution[i]
			g.preferred = append(g.preferred, newTerm(g, &w.PodAffinityTerm, w.Weight))
		}
	}
	if avoids := a.PodAntiAffinity; avoids != nil {
		for i := range avoids.RequiredDuringSchedulingIgnoredDuringExecution {
			g.antiAffinity = append(g.antiAffinity, newTerm(g, &avoids.RequiredDuringSchedulingIgnoredDuringExecution[i], 0))
		}
		for i := range avoids.PreferredDuringSchedulingIgnoredDuringExecution {
			w := &avoids.PreferredDuringSchedulingIgnoredDuringExecution[i]
			g.preferred = append(g.preferred, newTerm(g, &w.PodAffinityTerm, -w.Weight))
		}
	}
}

// requiredWeight is how much a required affinity term of a pod that is there draws others to it, as in kube-scheduler.
const requiredWeight = 1

// maxIdle is how many groups without pods are remembered.
const maxIdle = 256

// groupOf finds or makes the group of a demand.
func (c *Cluster) groupOf(d *Demand) *group {
	key := d.kin.Value()
	if g, ok := c.groups[key]; ok {
		return g
	}
	if c.idle >= maxIdle {
		for k, g := range c.groups {
			if g.pods == 0 {
				delete(c.groups, k)
			}
		}
		c.idle = 0
	}
	g := newGroup(key)
	c.groups[key] = g
	c.idle++
	c.join(g)
	return g
}

// join has a new group counted by the tallies that it matches, and by those of the terms that its pods bear.
func (c *Cluster) join(g *group) {
	g.tallies, g.rules = nil, nil
	for _, t := range c.tallies {
		if t.matches(g) {
			g.tallies = append(g.tallies, t)
		}
	}
	c.bear(g, g.antiAffinity, avoided)
	c.bear(g, g.affinity, liked)
	c.bear(g, g.preferred, liked)
}

func (c *Cluster) countGroup(i int32, d *Demand, sign int32) {
	g := c.groupOf(d)
	if g.pods == 0 {
		c.idle--
	}
	if g.pods += int(sign); g.pods == 0 {
		c.idle++
	}
	if g.slots[i] += sign; g.slots[i] == 0 {
		delete(g.slots, i)
	}
	if c.stale {
		return // all will be counted anew
	}
	for _, t := range g.tallies {
		t.add(i, sign)
	}
}
