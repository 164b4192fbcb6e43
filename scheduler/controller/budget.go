package controller

import (
	"fmt"
	"slices"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// DisruptionTimeout is how long a pod that the eviction API let go counts as gone before it is.
const DisruptionTimeout = 2 * time.Minute

// BudgetInput is a PodDisruptionBudget and the pods of its namespace that its selector matches and that have not ended.
// Scale gives the size of a pod's workload, and whose it is: a replica set's deployment counts for it.
type BudgetInput struct {
	Budget *policyv1.PodDisruptionBudget
	Pods   []BudgetPod
	Scale  func(controller types.UID) (workload types.UID, replicas int32, ok bool)
}

// BudgetPod is what a budget must know of a pod.
type BudgetPod struct {
	Name       string
	Controller types.UID // empty: nobody controls it
	Ready      bool
	Deleting   bool
}

// Budget brings a budget's status to what is there: how many pods are healthy, how many there must be, and so how many
// may be taken away.
func Budget(in BudgetInput, env Env) Result {
	var r Result
	b := in.Budget
	status := policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, Conditions: b.Status.Conditions}
	expected, desired, unmanaged, err := in.needs()
	if err != nil {
		// Whatever was allowed is not known to be safe any more.
		status = *b.Status.DeepCopy()
		status.DisruptionsAllowed = 0
		allowing(&status, metav1.ConditionFalse, policyv1.SyncFailedReason, err.Error(), &env)
		r.setBudget(b, status)
		return r
	}
	status.ExpectedPods, status.DesiredHealthy = expected, desired
	for _, pod := range in.Pods {
		at, evicted := b.Status.DisruptedPods[pod.Name]
		until := at.Add(DisruptionTimeout)
		switch {
		case pod.Deleting:
		case evicted && !env.Now.After(until):
			if status.DisruptedPods == nil {
				status.DisruptedPods = map[string]metav1.Time{}
			}
			status.DisruptedPods[pod.Name] = at
			r.dueAt(until.Add(time.Second))
		case pod.Ready:
			status.CurrentHealthy++
		}
	}
	if expected > 0 {
		status.DisruptionsAllowed = max(status.CurrentHealthy-desired, 0)
	}
	if status.DisruptionsAllowed > 0 {
		allowing(&status, metav1.ConditionTrue, policyv1.SufficientPodsReason, "", &env)
	} else {
		allowing(&status, metav1.ConditionFalse, policyv1.InsufficientPodsReason, "", &env)
	}
	if r.setBudget(b, status) {
		r.tellOfBudget(b, len(in.Pods), unmanaged)
	}
	return r
}

// needs is how many pods there are to be, and how many of them must be healthy. A number of available pods counts the
// pods that are there; anything else is a part of what the workloads ask for.
func (in *BudgetInput) needs() (expected, desired int32, unmanaged bool, err error) {
	spec := &in.Budget.Spec
	if spec.MaxUnavailable == nil && (spec.MinAvailable == nil || spec.MinAvailable.Type == intstr.Int) {
		if spec.MinAvailable != nil {
			desired = spec.MinAvailable.IntVal
		}
		return int32(len(in.Pods)), desired, false, nil
	}
	sizes := map[types.UID]int32{}
	for _, pod := range in.Pods {
		if pod.Controller == "" {
			unmanaged = true
			continue
		}
		workload, replicas, ok := in.Scale(pod.Controller)
		if !ok {
			return 0, 0, false, fmt.Errorf("found no controllers for pod %q", pod.Name)
		}
		sizes[workload] = replicas
	}
	for _, n := range sizes {
		expected += n
	}
	if spec.MaxUnavailable != nil {
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, int(expected), true)
		return expected, max(expected-int32(n), 0), unmanaged, err
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, int(expected), true)
	return expected, int32(n), unmanaged, err
}

func (r *Result) setBudget(b *policyv1.PodDisruptionBudget, status policyv1.PodDisruptionBudgetStatus) bool {
	if apiequality.Semantic.DeepEqual(b.Status, status) {
		return false
	}
	b = b.DeepCopy()
	b.Status = status
	r.change(Update, Budgets, b)
	return true
}

func (r *Result) tellOfBudget(b *policyv1.PodDisruptionBudget, pods int, unmanaged bool) {
	about := reference("policy/v1", "PodDisruptionBudget", b)
	if pods == 0 {
		r.Events = append(r.Events, Event{about, "controllermanager", "Normal", "NoPods", "No matching pods found"})
	}
	if unmanaged {
		r.Events = append(r.Events, Event{about, "controllermanager", "Warning", "UnmanagedPods",
			"Pods selected by this PodDisruptionBudget were found to be unmanaged, and are not counted. " +
				"To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."})
	}
}

// allowing sets the condition DisruptionAllowed; its time changes with its status only.
func allowing(st *policyv1.PodDisruptionBudgetStatus, is metav1.ConditionStatus, reason, message string, env *Env) {
	c := metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: is, Reason: reason, Message: message,
		ObservedGeneration: st.ObservedGeneration, LastTransitionTime: env.stamp(),
	}
	st.Conditions = slices.Clone(st.Conditions)
	i := slices.IndexFunc(st.Conditions, func(c metav1.Condition) bool { return c.Type == policyv1.DisruptionAllowedCondition })
	if i < 0 {
		st.Conditions = append(st.Conditions, c)
		return
	}
	if st.Conditions[i].Status == is {
		c.LastTransitionTime = st.Conditions[i].LastTransitionTime
	}
	st.Conditions[i] = c
}
