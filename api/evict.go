package api

import (
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

const (
	budgetResource = "poddisruptionbudgets.policy"
	// maxDisrupted bounds the evictions that a budget's controller has not confirmed yet.
	maxDisrupted = 2000
	// evictAgainSeconds is what a client is told to wait while a budget is being worked out.
	evictAgainSeconds = 10
)

var evictionKind = policyv1.SchemeGroupVersion.WithKind("Eviction")

// evictPod answers POST on a pod's eviction: the pod is deleted if its disruption budget allows that.
func evictPod(c *call) error {
	opts, err := c.eviction()
	if err != nil {
		return err
	}
	dryRun := len(opts.DryRun) > 0
	_, err = c.commit(dryRun, func(tx *store.Tx) (kind.Object, effect, error) {
		rec, ok := tx.Get(c.key(c.name))
		if !ok {
			return nil, unchanged, apierrors.NewNotFound(c.groupResource(), c.name)
		}
		d, err := c.evict(tx, rec, opts)
		return d.obj, d.did, err
	})
	if err != nil {
		return err
	}
	return c.respondOther(http.StatusCreated, success())
}

// eviction reads the request and returns how the pod is to be deleted.
func (c *call) eviction() (*metav1.DeleteOptions, error) {
	create, err := c.createOptions()
	if err != nil {
		return nil, err
	}
	body, err := wire.ReadBody(c.r)
	if err != nil {
		return nil, err
	}
	media := wire.MediaType(c.r.Header.Get("Content-Type"))
	sent := &policyv1.Eviction{}
	if _, err := wire.Decode(body, media, evictionVersion(body, media), sent); err != nil {
		return nil, err
	}
	recordOf(c.r).Requested(sent)
	if sent.Name != c.name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	if err := c.matchNamespace(sent); err != nil {
		return nil, err
	}
	opts := sent.DeleteOptions
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	switch {
	case len(opts.DryRun) == 0:
		opts.DryRun = create.DryRun
	case len(create.DryRun) == 0:
	case fmt.Sprint(opts.DryRun) != fmt.Sprint(create.DryRun):
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the dry run of the request (%v) is not that of the deleteOptions (%v)", create.DryRun, opts.DryRun))
	}
	return opts, invalidOptions("DeleteOptions", metav1validation.ValidateDeleteOptions(opts))
}

// evictionVersion is the kind that the body names: version v1beta1 has the same fields, and old clients send it.
func evictionVersion(body []byte, media string) schema.GroupVersionKind {
	beta := schema.GroupVersionKind{Group: "policy", Version: "v1beta1", Kind: "Eviction"}
	if named, err := wire.Kind(body, media); err == nil && named == beta {
		return beta
	}
	return evictionKind
}

// evict deletes a pod, and counts that in its budget, in one transaction.
func (c *call) evict(tx *store.Tx, rec *store.Record, opts *metav1.DeleteOptions) (deletion, error) {
	live := rec.Object().(*corev1.Pod)
	if err := c.preconditions(live, opts.Preconditions); err != nil {
		return deletion{}, err
	}
	if !disruptsNothing(live) {
		if err := c.countDisruption(tx, live); err != nil {
			return deletion{}, err
		}
	}
	pod := live.DeepCopy()
	c.setCondition(pod, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
	})
	return c.removeAs(tx, rec, pod, opts)
}

// disruptsNothing reports that a pod serves nobody: it has ended, has not begun, or is going already.
func disruptsNothing(pod *corev1.Pod) bool {
	switch pod.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed, corev1.PodPending:
		return true
	}
	return pod.DeletionTimestamp != nil
}

// countDisruption takes one disruption from the pod's budget; an error says why there is none to take.
func (c *call) countDisruption(tx *store.Tx, pod *corev1.Pod) error {
	budgets := budgetsOf(tx.Snapshot(), pod)
	if len(budgets) == 0 {
		return nil
	}
	if len(budgets) > 1 {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
			Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
		}}
	}
	live := budgets[0].Object().(*policyv1.PodDisruptionBudget)
	if !isPodReady(pod) && freeForUnready(live) {
		return nil
	}
	if err := allowsDisruption(live); err != nil {
		return err
	}
	budget := live.DeepCopy()
	status := &budget.Status
	status.DisruptionsAllowed--
	if status.DisruptionsAllowed == 0 {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason,
			ObservedGeneration: status.ObservedGeneration, LastTransitionTime: metav1.NewTime(c.now).Rfc3339Copy(),
		})
	}
	if status.DisruptedPods == nil {
		status.DisruptedPods = map[string]metav1.Time{}
	}
	status.DisruptedPods[pod.Name] = metav1.NewTime(c.now).Rfc3339Copy()
	tx.Put(budgets[0].Key(), budget, budgets[0].Revision())
	return nil
}

func budgetsOf(snap *store.Snapshot, pod *corev1.Pod) []*store.Record {
	var out []*store.Record
	for rec := range snap.List(budgetResource, pod.Namespace) {
		budget, ok := rec.Object().(*policyv1.PodDisruptionBudget)
		if !ok {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			out = append(out, rec)
		}
	}
	return out
}

func isPodReady(pod *corev1.Pod) bool {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// freeForUnready reports that a pod which is not ready may go without being counted.
func freeForUnready(b *policyv1.PodDisruptionBudget) bool {
	if policy := b.Spec.UnhealthyPodEvictionPolicy; policy != nil && *policy == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// allowsDisruption is nil, or Kubernetes' answer to an eviction that the budget does not allow.
func allowsDisruption(b *policyv1.PodDisruptionBudget) error {
	const refused = "Cannot evict pod as it would violate the pod's disruption budget."
	forbid := func(reason, cause string) error {
		return because(apierrors.NewForbidden(schema.GroupResource{Group: "policy", Resource: "poddisruptionbudget"}, b.Name, inTheirWords("%s", reason)),
			fmt.Sprintf("The disruption budget %s does not allow evicting pods currently: %s", b.Name, cause))
	}
	switch {
	case b.Status.ObservedGeneration < b.Generation:
		return because(apierrors.NewTooManyRequests(refused, evictAgainSeconds),
			fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	case b.Status.DisruptionsAllowed < 0:
		return forbid("pdb disruptions allowed is negative", "pdb disruptions allowed is negative")
	case len(b.Status.DisruptedPods) > maxDisrupted:
		return forbid("DisruptedPods map too big - too many evictions not confirmed by PDB controller",
			"too many pending evictions not confirmed by PDB controller")
	case b.Status.DisruptionsAllowed == 0:
		return because(apierrors.NewTooManyRequests(refused, 0), whyNone(b))
	}
	return nil
}

func because(err *apierrors.StatusError, message string) error {
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: message})
	return err
}

// whyNone says in Kubernetes' words why a budget has no disruption to give.
func whyNone(b *policyv1.PodDisruptionBudget) string {
	none := "The disruption budget " + b.Name + " does not allow evicting pods currently"
	c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	said := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	switch {
	case said && c.Reason == policyv1.SyncFailedReason:
		return none + " because it failed sync: " + c.Message
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)
	case said:
		return none + " (" + c.Reason + "): " + c.Message
	}
	return none
}
