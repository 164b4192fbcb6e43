package controller

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func findCondition(st *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range st.Conditions {
		if st.Conditions[i].Type == kind {
			return &st.Conditions[i]
		}
	}
	return nil
}

func dropCondition(st *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) {
	st.Conditions = slices.DeleteFunc(slices.Clone(st.Conditions), func(c appsv1.DeploymentCondition) bool { return c.Type == kind })
}

// setCondition replaces a condition unless its status and reason are the same; the transition time changes with the
// status only.
func (o *rollout) setCondition(
	st *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string,
) {
	now := o.env.stamp()
	c := appsv1.DeploymentCondition{
		Type: kind, Status: status, Reason: reason, Message: message, LastUpdateTime: now, LastTransitionTime: now,
	}
	if was := findCondition(st, kind); was != nil {
		if was.Status == status && was.Reason == reason {
			return
		}
		if was.Status == status {
			c.LastTransitionTime = was.LastTransitionTime
		}
	}
	dropCondition(st, kind)
	st.Conditions = append(st.Conditions, c)
}

func compareText[S ~string](a, b S) int { return strings.Compare(string(a), string(b)) }
