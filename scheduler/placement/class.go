package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// A cluster remembers the verdicts of this many different rules; when there are more, it starts afresh.
const maxClasses = 256

// How much a taint that is only to be avoided, and a preferred affinity term of weight 1, move a node's score. Scores
// reach from 0 to about 400.
const (
	tainted   = -100
	preferred = 2
)

// class is the verdict of one set of rules on every node.
type class struct {
	rules    *rules
	required nodeaffinity.RequiredNodeAffinity
	liked    *nodeaffinity.PreferredSchedulingTerms
	fit      []bool
	bias     []float64
}

func (c *Cluster) classOf(r *rules) *class {
	if cl, ok := c.classes[r.key]; ok {
		return cl
	}
	if len(c.classes) >= maxClasses {
		clear(c.classes)
	}
	cl := &class{
		rules: r, required: nodeaffinity.NewRequiredNodeAffinity(r.selector, r.affinity),
		fit: make([]bool, len(c.slots)), bias: make([]float64, len(c.slots)),
	}
	if r.affinity != nil {
		if terms := r.affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution; len(terms) > 0 {
			cl.liked, _ = nodeaffinity.NewPreferredSchedulingTerms(terms) // terms that do not parse score nothing
		}
	}
	for i := range c.records {
		cl.judge(int32(i), c.records[i].node)
	}
	c.classes[r.key] = cl
	return cl
}

func (cl *class) grow() {
	cl.fit = append(cl.fit, false)
	cl.bias = append(cl.bias, 0)
}

func (cl *class) judge(i int32, node *corev1.Node) {
	cl.fit[i], cl.bias[i] = false, 0
	if node == nil || cl.refuse(node) != "" {
		return
	}
	cl.fit[i] = true
	for t := range node.Spec.Taints {
		if taint := &node.Spec.Taints[t]; taint.Effect == corev1.TaintEffectPreferNoSchedule && !cl.tolerates(taint) {
			cl.bias[i] += tainted
		}
	}
	if cl.liked != nil {
		cl.bias[i] += preferred * float64(cl.liked.Score(node))
	}
}

// refuse says why these rules keep a pod from the node, whatever is free on it; empty when they do not. The order is
// the one in which kube-scheduler asks.
func (cl *class) refuse(node *corev1.Node) string {
	if node.Spec.Unschedulable && !cl.tolerates(&cordoned) {
		return "node(s) were unschedulable"
	}
	for i := range node.Spec.Taints {
		if reason := cl.refuseTaint(&node.Spec.Taints[i]); reason != "" {
			return reason
		}
	}
	for _, taint := range implied(node) {
		if reason := cl.refuseTaint(taint); reason != "" {
			return reason
		}
	}
	if !cl.selects(node) {
		return "node(s) didn't match Pod's node affinity/selector"
	}
	return ""
}

// selects says whether the node's labels and name are as the pod's node selector and affinity ask.
func (cl *class) selects(node *corev1.Node) bool {
	ok, err := cl.required.Match(node)
	return err == nil && ok
}

// toleratesAll says whether no taint of the node keeps the pod off, those that are implied included.
func (cl *class) toleratesAll(node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		if cl.refuseTaint(&node.Spec.Taints[i]) != "" {
			return false
		}
	}
	for _, taint := range implied(node) {
		if !cl.tolerates(taint) {
			return false
		}
	}
	return (!node.Spec.Unschedulable || cl.tolerates(&cordoned))
}

// Kubernetes marks such nodes with taints that a pod may tolerate; here the taints are implied.
var (
	notReady = corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	cordoned = corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}

	pressures = map[corev1.NodeConditionType]*corev1.Taint{
		corev1.NodeMemoryPressure: {Key: corev1.TaintNodeMemoryPressure, Effect: corev1.TaintEffectNoSchedule},
		corev1.NodeDiskPressure:   {Key: corev1.TaintNodeDiskPressure, Effect: corev1.TaintEffectNoSchedule},
		corev1.NodePIDPressure:    {Key: corev1.TaintNodePIDPressure, Effect: corev1.TaintEffectNoSchedule},
	}
)

// implied are the taints that a node's conditions stand for.
func implied(node *corev1.Node) (taints []*corev1.Taint) {
	if !isReady(node) {
		taints = append(taints, &notReady)
	}
	for i := range node.Status.Conditions {
		c := &node.Status.Conditions[i]
		if taint := pressures[c.Type]; taint != nil && c.Status == corev1.ConditionTrue {
			taints = append(taints, taint)
		}
	}
	return taints
}

func (cl *class) refuseTaint(t *corev1.Taint) string {
	if t.Effect != corev1.TaintEffectNoSchedule && t.Effect != corev1.TaintEffectNoExecute {
		return ""
	}
	if cl.tolerates(t) {
		return ""
	}
	return "node(s) had untolerated taint(s)"
}

func (cl *class) tolerates(t *corev1.Taint) bool {
	if t.Key == corev1.TaintNodeMemoryPressure && !cl.rules.bestEffort {
		return true // as in Kubernetes: it asked for the memory that it will use
	}
	for i := range cl.rules.tolerations {
		if cl.rules.tolerations[i].ToleratesTaint(klog.Logger{}, t, false) {
			return true
		}
	}
	return false
}

func isReady(node *corev1.Node) bool {
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
