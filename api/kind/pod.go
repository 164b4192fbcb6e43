package kind

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	podoptions "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func podKind() *Kind {
	k := base[corev1.Pod, corev1.PodList](corev1.SchemeGroupVersion.WithKind("Pod"), "pods", "pod", "po")
	k.Categories = []string{"all"}
	k.Default = func(obj Object) {
		settleServiceAccount(&obj.(*corev1.Pod).Spec)
		Scheme().Default(obj)
	}
	k.PrepareCreate = func(obj Object, now time.Time) { preparePod(obj.(*corev1.Pod), now) }
	k.PrepareUpdate = onBoth(func(p, old *corev1.Pod) {
		p.Status = old.Status
		p.Generation = old.Generation
		if p.Spec.Priority == nil {
			p.Spec.Priority = old.Spec.Priority // set from its class, which a client's manifest does not say
		}
		if p.Spec.PreemptionPolicy == nil {
			p.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
		}
		if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
			p.Generation++
		}
	})
	k.PrepareStatus = onBoth(preparePodStatus)
	check[core.Pod](k, func(p *core.Pod) field.ErrorList {
		return validation.ValidatePodCreate(p, podOptions(p, nil))
	}, func(p, old *core.Pod) field.ErrorList {
		return validation.ValidatePodUpdate(p, old, podOptions(p, old))
	})
	checkStatus[core.Pod](k, func(p, old *core.Pod) field.ErrorList {
		return validation.ValidatePodStatusUpdate(p, old, podOptions(p, old))
	})
	k.Parts = map[string]Part{"ephemeralcontainers": {
		Prepare: onBoth(prepareEphemeral),
		Validate: checkUpdate[core.Pod](func(p, old *core.Pod) field.ErrorList {
			return validation.ValidatePodEphemeralContainersUpdate(p, old, podOptions(p, old))
		}),
	}}
	k.GraceSeconds = func(obj Object, asked *int64) int64 { return podGrace(obj.(*corev1.Pod), asked) }
	checkAtMostOne(k)
	refuseFields(k)
	warnOfFields(k, podPart, podWarnings)
	selectable(k, podFields)
	k.Columns = podColumns()
	k.Row = rowOf(podRow)
	return k
}

// podOptions are what validation tolerates because the old pod has it already; old is nil for a new pod.
func podOptions(p, old *core.Pod) validation.PodValidationOptions {
	var oldSpec *core.PodSpec
	var oldMeta *metav1.ObjectMeta
	if old != nil {
		oldSpec, oldMeta = &old.Spec, &old.ObjectMeta
	}
	opts := podoptions.GetValidationOptionsFromPodSpecAndMeta(&p.Spec, oldSpec, &p.ObjectMeta, oldMeta)
	opts.ResourceIsPod = true
	return opts
}

// preparePod makes a new pod pending, and adds what Kubernetes' admission adds: the service account's name, and for how
// long the pod stays on a node that is not there. A pod with scheduling gates says that it waits for them.
func preparePod(p *corev1.Pod, now time.Time) {
	p.Generation = 1
	if p.Spec.ServiceAccountName == "" {
		p.Spec.ServiceAccountName = "default"
		p.Spec.DeprecatedServiceAccount = "default"
	}
	p.Spec.Tolerations = tolerateLostNode(p.Spec.Tolerations)
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: qos.ComputePodQOS(p)}
	if len(p.Spec.SchedulingGates) > 0 {
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates", LastTransitionTime: metav1.NewTime(now).Rfc3339Copy(),
		}}
	}
}

// settleServiceAccount makes the two fields that name the service account say the same.
func settleServiceAccount(spec *corev1.PodSpec) {
	if spec.ServiceAccountName == "" {
		spec.ServiceAccountName = spec.DeprecatedServiceAccount
	}
	spec.DeprecatedServiceAccount = spec.ServiceAccountName
}

// lostNodeSeconds is how long a pod stays on a node that is not ready or cannot be reached, unless it says otherwise. Kubernetes
// has 300: there a node is lost when it is late with its lease, here when the others and the leader have asked it in vain.
const lostNodeSeconds = 3

func tolerateLostNode(tolerations []corev1.Toleration) []corev1.Toleration {
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if !toleratesEviction(tolerations, key) {
			seconds := int64(lostNodeSeconds)
			tolerations = append(tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
	return tolerations
}

func toleratesEviction(tolerations []corev1.Toleration, key string) bool {
	for _, t := range tolerations {
		if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return true
		}
	}
	return false
}

// preparePodStatus leaves all but the status as it was, and fills in what writers of a status may leave out.
func preparePodStatus(p, old *corev1.Pod) {
	p.Spec = old.Spec
	p.OwnerReferences = old.OwnerReferences
	p.DeletionTimestamp = old.DeletionTimestamp
	if p.Status.QOSClass == "" {
		p.Status.QOSClass = old.Status.QOSClass
	}
	if p.Status.ObservedGeneration == 0 {
		p.Status.ObservedGeneration = old.Status.ObservedGeneration
	}
	switch s := &p.Status; {
	case s.PodIP != "" && len(s.PodIPs) == 0:
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	case len(s.PodIPs) > 0:
		s.PodIP = s.PodIPs[0].IP
	}
}

// prepareEphemeral leaves all but the ephemeral containers as it was.
func prepareEphemeral(p, old *corev1.Pod) {
	containers := p.Spec.EphemeralContainers
	p.Spec, p.Status = *old.Spec.DeepCopy(), *old.Status.DeepCopy()
	p.Spec.EphemeralContainers = containers
	metav1.ResetObjectMetaForStatus(p, old)
	if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
		p.Generation = old.Generation + 1
	}
}

// podGrace is how many seconds a pod gets to end. One that runs nowhere gets none.
func podGrace(p *corev1.Pod, asked *int64) int64 {
	switch {
	case p.Spec.NodeName == "", p.Status.Phase == corev1.PodSucceeded, p.Status.Phase == corev1.PodFailed:
		return 0
	}
	var seconds int64
	if p.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *p.Spec.TerminationGracePeriodSeconds
	}
	if asked != nil {
		seconds = *asked
	}
	if seconds < 0 {
		return 1
	}
	return seconds
}

func podFields(p *corev1.Pod) fields.Set {
	ip := ""
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return fields.Set{
		"spec.nodeName":            p.Spec.NodeName,
		"spec.restartPolicy":       string(p.Spec.RestartPolicy),
		"spec.schedulerName":       p.Spec.SchedulerName,
		"spec.serviceAccountName":  p.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(p.Spec.HostNetwork),
		"status.phase":             string(p.Status.Phase),
		"status.podIP":             ip,
		"status.nominatedNodeName": p.Status.NominatedNodeName,
	}
}
