package placement

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// term is a pod affinity or anti-affinity term, ready to be compared with groups.
type term struct {
	key               string // equal for equal terms
	topologyKey       string
	weight            int32 // of a preferred one; negative for anti-affinity
	namespaces        []string
	namespaceSelector labels.Selector // nil: only the namespaces that are named
	selector          labels.Selector
}

func newTerm(of *group, t *corev1.PodAffinityTerm, weight int32) term {
	out := term{topologyKey: t.TopologyKey, weight: weight, namespaces: t.Namespaces, selector: selectorOf(t.LabelSelector)}
	if t.NamespaceSelector != nil {
		out.namespaceSelector = selectorOf(t.NamespaceSelector)
	} else if len(t.Namespaces) == 0 {
		out.namespaces = []string{of.namespace}
	}
	out.selector = withKeys(out.selector, selection.In, t.MatchLabelKeys, of.labels)
	out.selector = withKeys(out.selector, selection.NotIn, t.MismatchLabelKeys, of.labels)
	everywhere := "-"
	if out.namespaceSelector != nil {
		everywhere = "+" + out.namespaceSelector.String()
	}
	out.namespaces = slices.Sorted(slices.Values(out.namespaces))
	out.key = fmt.Sprintf("%s\x00%s\x00%s\x00%s", out.topologyKey, strings.Join(out.namespaces, ","), everywhere, selectorKey(out.selector))
	return out
}

// selectorOf never fails: the API has checked the selector. One that cannot be read selects nothing.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}

// selectorKey tells the selector of nothing from that of everything, which both print as nothing.
func selectorKey(s labels.Selector) string {
	if _, selectable := s.Requirements(); !selectable {
		return "\x01"
	}
	return s.String()
}

// withKeys narrows a selector by the pod's own values of some labels (matchLabelKeys, mismatchLabelKeys). Labels that the
// pod does not have are passed over.
func withKeys(s labels.Selector, op selection.Operator, keys []string, own labels.Set) labels.Selector {
	if _, selectable := s.Requirements(); !selectable {
		return s
	}
	for _, key := range keys {
		if value, has := own[key]; has {
			if r, err := labels.NewRequirement(key, op, []string{value}); err == nil {
				s = s.Add(*r)
			}
		}
	}
	return s
}

func (t *term) matches(g *group, namespaceLabels labels.Set) bool {
	here := slices.Contains(t.namespaces, g.namespace) ||
		t.namespaceSelector != nil && t.namespaceSelector.Matches(namespaceLabels)
	return here && t.selector.Matches(g.labels)
}

// constraint is a topology spread constraint, ready to be counted.
type constraint struct {
	key                          string
	topologyKey                  string
	selector                     labels.Selector
	maxSkew, minDomains          int32
	honorsAffinity, honorsTaints bool
	self                         int32 // 1 when the pod itself counts
}

func newConstraint(of *group, c *corev1.TopologySpreadConstraint) constraint {
	out := constraint{
		topologyKey: c.TopologyKey, maxSkew: c.MaxSkew, minDomains: 1,
		selector:       withKeys(selectorOf(c.LabelSelector), selection.In, c.MatchLabelKeys, of.labels),
		honorsAffinity: c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor,
		honorsTaints:   c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor,
	}
	if c.MinDomains != nil {
		out.minDomains = *c.MinDomains
	}
	if out.selector.Matches(of.labels) {
		out.self = 1
	}
	out.key = fmt.Sprintf("%s\x00%s\x00%s\x00%v%v", c.TopologyKey, of.namespace, selectorKey(out.selector), out.honorsAffinity, out.honorsTaints)
	return out
}

// concerns says whether a group's pods count. Pods that are being deleted do not, nor does anything for an empty selector.
func (c *constraint) concerns(g *group, namespace string) bool {
	return !g.leaving && g.namespace == namespace && !c.selector.Empty() && c.selector.Matches(g.labels)
}
