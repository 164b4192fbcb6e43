package placement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/scheduler/placement"
)

// labelled is a whole pod as its user would write it.
func labelled(t testing.TB, text string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	return p
}

func zoned(name, zone string) *corev1.Node {
	n := node(name, "8", "8Gi", func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelHostname: name} })
	if zone != "" {
		n.Labels["zone"] = zone
	}
	return n
}

const (
	nearDB   = "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {app: db}}}]}}"
	likesDB  = "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 50, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {app: db}}}}]}}"
	avoidsDB = "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {app: db}}}]}}"
	shunsDB  = "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 50, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {app: db}}}}]}}"
	anyNS    = "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, namespaceSelector: {matchLabels: {team: data}}, labelSelector: {matchLabels: {app: db}}}]}}"
	namedNS  = "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, namespaces: [data], labelSelector: {matchLabels: {app: db}}}]}}"
	evenly   = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}%s}]"
)

func TestPodsMatterToEachOther(t *testing.T) {
	db := "metadata: {labels: {app: db}}"
	web := func(spec string) string { return "metadata: {labels: {app: web}}\nspec: {" + spec + "}" }
	spread := func(more string) string { return fmt.Sprintf(evenly, more) }
	type on map[string][]string
	for _, tc := range []struct {
		name  string
		nodes []*corev1.Node // a in zone 1, b in zone 2, c without a zone, when empty
		bound on
		pod   string
		want  string // a node, nodes that are equally good, or the explanation
	}{
		{name: "affinity", bound: on{"b": {db}}, pod: web(nearDB), want: "b"},
		{name: "affinity: nobody there", pod: web(nearDB), want: "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."},
		{
			name: "affinity: not on a node without the label", bound: on{"c": {db}}, pod: web(nearDB),
			want: "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
		},
		{name: "affinity: the first of its kind", pod: "metadata: {labels: {app: db}}\nspec: {" + nearDB + "}", want: "a b"},
		{name: "affinity: the second of its kind", bound: on{"b": {db}}, pod: "metadata: {labels: {app: db}}\nspec: {" + nearDB + "}", want: "b"},
		{
			name: "affinity: another namespace's do not count", bound: on{"b": {"metadata: {namespace: data, labels: {app: db}}"}},
			pod: web(nearDB), want: "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
		},
		{name: "affinity: a named namespace's do", bound: on{"b": {"metadata: {namespace: data, labels: {app: db}}"}}, pod: web(namedNS), want: "b"},
		{name: "affinity: a selected namespace's do", bound: on{"b": {"metadata: {namespace: data, labels: {app: db}}"}}, pod: web(anyNS), want: "b"},
		{name: "affinity: the own namespace is not selected", bound: on{"b": {db}}, pod: web(anyNS), want: "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."},
		{
			name: "affinity: one pod must match all terms", bound: on{"a": {db, "metadata: {labels: {tier: x}}"}, "b": {"metadata: {labels: {app: db, tier: x}}"}},
			pod: web("affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [" +
				"{topologyKey: zone, labelSelector: {matchLabels: {app: db}}}, {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {tier: x}}}]}}"),
			want: "b",
		},
		{name: "anti-affinity", bound: on{"a": {db}, "c": {db}}, pod: web(avoidsDB), want: "b c"},
		{
			name: "anti-affinity everywhere", bound: on{"a": {db}, "b": {db}}, nodes: []*corev1.Node{zoned("a", "1"), zoned("b", "2")}, pod: web(avoidsDB),
			want: "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
		},
		{name: "the anti-affinity of those that are there", bound: on{"a": {web(avoidsDB)}}, pod: db, want: "b c"},
		{
			name: "the anti-affinity of those that are there, everywhere", bound: on{"a": {web(avoidsDB)}, "b": {web(avoidsDB)}},
			nodes: []*corev1.Node{zoned("a", "1"), zoned("b", "2")}, pod: db,
			want: "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.",
		},
		{name: "drawn to a preferred pod", bound: on{"b": {db, db}}, pod: web(likesDB), want: "b"},
		{name: "pushed off by a shunned pod", bound: on{"a": {db}, "b": {db}}, pod: web(shunsDB), want: "c"},
		{name: "drawn to a pod that prefers it", bound: on{"b": {web(likesDB), web(likesDB)}}, pod: db, want: "b"},
		{name: "drawn to a pod that requires it", bound: on{"b": {web(nearDB)}}, pod: db, want: "b"},
		{name: "pushed off by a pod that shuns it", bound: on{"a": {web(shunsDB)}, "b": {web(shunsDB)}}, pod: db, want: "c"},
		{name: "spread: where there are fewest", bound: on{"a": {web("")}}, pod: web(spread("")), want: "b"},
		{name: "spread: pods being deleted do not count", bound: on{"a": {"metadata: {labels: {app: web}, deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 5}"}, "b": {web("")}}, pod: web(spread("")), want: "a"},
		{
			name: "spread: too uneven", nodes: []*corev1.Node{zoned("a", "1"), node("b", "100m", "1Gi", label("zone", "2")), zoned("c", "")},
			bound: on{"a": {web("")}}, pod: web(spread("") + ", containers: [{name: c, resources: {requests: {cpu: 1}}}]"),
			want: "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints, " +
				"1 node(s) didn't match pod topology spread constraints (missing required label).",
		},
		{name: "spread: minDomains", bound: on{"a": {web("")}, "b": {web("")}}, pod: web(spread(", minDomains: 3")),
			want: "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), 2 node(s) didn't match pod topology spread constraints."},
		{
			name: "spread: nodes that the selector leaves out do not count", bound: on{"a": {web("")}},
			pod: web("nodeSelector: {kubernetes.io/hostname: a}, " + spread("")), want: "a",
		},
		{
			name: "spread: but they do with the policy Ignore", bound: on{"a": {web("")}},
			pod:  web("nodeSelector: {kubernetes.io/hostname: a}, " + spread(", nodeAffinityPolicy: Ignore")),
			want: "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 2 node(s) didn't match Pod's node affinity/selector.",
		},
		{
			name: "spread: tainted nodes count", nodes: []*corev1.Node{zoned("a", "1"), tainted(zoned("b", "2"))}, bound: on{"a": {web("")}}, pod: web(spread("")),
			want: "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) had untolerated taint(s).",
		},
		{
			name: "spread: but they do not with the policy Honor", nodes: []*corev1.Node{zoned("a", "1"), tainted(zoned("b", "2"))}, bound: on{"a": {web("")}},
			pod: web(spread(", nodeTaintsPolicy: Honor")), want: "a",
		},
		{
			name: "spread: matchLabelKeys counts the own revision", bound: on{"a": {"metadata: {labels: {app: web, rev: '1'}}"}, "b": {"metadata: {labels: {app: web, rev: '2'}}"}},
			pod:  "metadata: {labels: {app: web, rev: '2'}}\nspec: {" + spread(", matchLabelKeys: [rev]") + "}",
			want: "a",
		},
		{
			name: "mismatchLabelKeys avoids others' tenants", bound: on{"a": {"metadata: {labels: {tenant: x}}"}, "b": {"metadata: {labels: {tenant: y}}"}, "c": {"metadata: {labels: {tenant: y}}"}},
			pod: "metadata: {labels: {tenant: x}}\nspec: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: " +
				"[{topologyKey: kubernetes.io/hostname, mismatchLabelKeys: [tenant], labelSelector: {matchExpressions: [{key: tenant, operator: Exists}]}}]}}}",
			want: "a",
		},
		{
			name: "spread if possible", bound: on{"a": {web(""), web("")}, "b": {web("")}},
			pod: web(strings.Replace(spread(""), "DoNotSchedule", "ScheduleAnyway", 1)), want: "b",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.nodes == nil {
				tc.nodes = []*corev1.Node{zoned("a", "1"), zoned("b", "2"), zoned("c", "")}
			}
			c := placement.NewCluster()
			for _, n := range tc.nodes {
				c.SetNode(n)
			}
			c.SetNamespace("data", map[string]string{"team": "data"})
			d := placement.NewDemand(labelled(t, tc.pod))
			c.Place(d) // binds its rules before the others come
			for name, pods := range tc.bound {
				for _, p := range pods {
					c.Add(name, placement.NewDemand(labelled(t, p)))
				}
			}
			got, ok := c.Place(d)
			if !ok {
				got = c.Explain(d)
			}
			if got != tc.want && (!ok || !slices.Contains(strings.Fields(tc.want), got)) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func tainted(n *corev1.Node) *corev1.Node {
	taint("only", "db", corev1.TaintEffectNoSchedule)(n)
	return n
}

// model is the rules about other pods, checked one by one over all pods.
type model struct {
	nodes []*corev1.Node
	pods  map[*corev1.Pod]*corev1.Node
}

func termMatches(of *corev1.Pod, t *corev1.PodAffinityTerm, p *corev1.Pod) bool {
	s, _ := metav1.LabelSelectorAsSelector(t.LabelSelector)
	return p.Namespace == of.Namespace && s.Matches(labels.Set(p.Labels))
}

func sameDomain(key string, a, b *corev1.Node) bool {
	x, okX := a.Labels[key]
	y, okY := b.Labels[key]
	return okX && okY && x == y
}

func (m *model) fits(p *corev1.Pod, n *corev1.Node) bool {
	return m.isSpread(p, n) && m.isNear(p, n) && m.isApart(p, n)
}

func (m *model) isNear(p *corev1.Pod, n *corev1.Node) bool {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAffinity == nil {
		return true
	}
	terms := p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	all := func(q *corev1.Pod) bool {
		return !slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return !termMatches(p, &t, q) })
	}
	near, any := true, false
	for _, t := range terms {
		if _, has := n.Labels[t.TopologyKey]; !has {
			return false
		}
		found := false
		for q, on := range m.pods {
			if !all(q) {
				continue
			}
			found = found || sameDomain(t.TopologyKey, on, n)
			_, has := on.Labels[t.TopologyKey]
			any = any || has
		}
		near = near && found
	}
	return near || !any && all(p)
}

func (m *model) isApart(p *corev1.Pod, n *corev1.Node) bool {
	avoids := func(p, q *corev1.Pod, on, n *corev1.Node) bool {
		if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
			return false
		}
		return slices.ContainsFunc(p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t corev1.PodAffinityTerm) bool {
			return termMatches(p, &t, q) && sameDomain(t.TopologyKey, on, n)
		})
	}
	for q, on := range m.pods {
		if avoids(p, q, on, n) || avoids(q, p, on, n) {
			return false
		}
	}
	return true
}

func (m *model) isSpread(p *corev1.Pod, n *corev1.Node) bool {
	hasAll := func(n *corev1.Node) bool {
		return !slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
			_, has := n.Labels[c.TopologyKey]
			return !has
		})
	}
	for _, c := range p.Spec.TopologySpreadConstraints {
		if _, has := n.Labels[c.TopologyKey]; !has {
			return false
		}
		s, _ := metav1.LabelSelectorAsSelector(c.LabelSelector)
		counts := map[string]int{}
		for _, n := range m.nodes {
			if hasAll(n) {
				counts[n.Labels[c.TopologyKey]] += 0
			}
		}
		for q, on := range m.pods {
			if hasAll(on) && q.Namespace == p.Namespace && s.Matches(labels.Set(q.Labels)) {
				counts[on.Labels[c.TopologyKey]]++
			}
		}
		least, first := 0, true
		for _, k := range counts {
			if first || k < least {
				least, first = k, false
			}
		}
		self := 0
		if s.Matches(labels.Set(p.Labels)) {
			self = 1
		}
		if counts[n.Labels[c.TopologyKey]]+self-least > int(c.MaxSkew) {
			return false
		}
	}
	return true
}

// Whatever pods and nodes come, go and change, a pod gets a node that the rules allow, and is refused only when none is.
func TestRelationsHoldAsTheWorldChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, m := placement.NewCluster(), &model{pods: map[*corev1.Pod]*corev1.Node{}}
		topologies := []string{corev1.LabelHostname, "zone", "rack"}
		setNode := func(i int) {
			n := node(fmt.Sprint("n", i), "64", "64Gi")
			n.Labels = map[string]string{corev1.LabelHostname: n.Name}
			for _, key := range topologies[1:] {
				if v := rapid.IntRange(0, 2).Draw(t, key); v > 0 {
					n.Labels[key] = fmt.Sprint(v)
				}
			}
			c.SetNode(n)
			for q, on := range m.pods {
				if on.Name == n.Name {
					m.pods[q] = n
				}
			}
			if i < len(m.nodes) {
				m.nodes[i] = n
			} else {
				m.nodes = append(m.nodes, n)
			}
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "nodes") {
			setNode(i)
		}
		selector := func() *metav1.LabelSelector {
			return &metav1.LabelSelector{MatchLabels: map[string]string{"app": rapid.SampledFrom([]string{"x", "y"}).Draw(t, "selects")}}
		}
		topology := rapid.SampledFrom(topologies)
		terms := func(what string) (out []corev1.PodAffinityTerm) {
			for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, what) {
				out = append(out, corev1.PodAffinityTerm{TopologyKey: topology.Draw(t, "topology"), LabelSelector: selector()})
			}
			return out
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0:
				setNode(rapid.IntRange(0, len(m.nodes)).Draw(t, "node"))
				continue
			case 1, 2:
				for q, on := range m.pods {
					c.Remove(on.Name, placement.NewDemand(q))
					delete(m.pods, q)
					break
				}
				continue
			}
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: rapid.SampledFrom([]string{"one", "one", "two"}).Draw(t, "namespace"),
				Labels:    map[string]string{"app": rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "app")},
			}}
			p.Spec.Affinity = &corev1.Affinity{
				PodAffinity:     &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms("affinity")},
				PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms("anti-affinity")},
			}
			for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "constraints") {
				p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
					MaxSkew: rapid.Int32Range(1, 2).Draw(t, "skew"), TopologyKey: topology.Draw(t, "topology"), LabelSelector: selector(),
					WhenUnsatisfiable: corev1.DoNotSchedule,
				})
			}
			d := placement.NewDemand(p)
			name, ok := c.Place(d)
			if !ok {
				for _, n := range m.nodes {
					if m.fits(p, n) {
						t.Fatalf("refused, but %s %v would do: %s\n%+v", n.Name, n.Labels, c.Explain(d), p.Spec)
					}
				}
				continue
			}
			n := m.nodes[slices.IndexFunc(m.nodes, func(n *corev1.Node) bool { return n.Name == name })]
			if !m.fits(p, n) {
				t.Fatalf("placed on %s %v near %v apart %v spread %v\n%+v", n.Name, n.Labels, m.isNear(p, n), m.isApart(p, n), m.isSpread(p, n), p.Spec)
			}
			c.Add(name, d)
			m.pods[p] = n
		}
	})
}
