package controller

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remove deletes an object as the API does on a user's behalf: a pod on a node is asked to stop and goes when its agent
// is done with it; an object with finalizers waits for them; anything else goes at once.
func (r *Result) remove(resource string, obj Object, env *Env) {
	grace := int64(0)
	if pod, ok := obj.(*corev1.Pod); ok {
		grace = gracePeriod(pod)
	}
	if grace == 0 && len(obj.GetFinalizers()) == 0 {
		r.change(Delete, resource, obj)
		return
	}
	if obj.GetDeletionTimestamp() != nil {
		return
	}
	r.change(Update, resource, marked(obj, grace, env))
}

// removeForeground deletes an object after its dependents.
func (r *Result) removeForeground(resource string, obj Object, env *Env) {
	if obj.GetDeletionTimestamp() != nil {
		return
	}
	obj = marked(obj, 0, env)
	if !slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents) {
		obj.SetFinalizers(append(obj.GetFinalizers(), metav1.FinalizerDeleteDependents))
	}
	r.change(Update, resource, obj)
}

// removeFinalizer drops a finalizer and, when it was the last of an object that is to go, the object.
func (r *Result) removeFinalizer(resource string, obj Object, finalizer string) {
	obj = clone(obj)
	rest := slices.DeleteFunc(obj.GetFinalizers(), func(f string) bool { return f == finalizer })
	obj.SetFinalizers(rest)
	grace := obj.GetDeletionGracePeriodSeconds()
	if len(rest) == 0 && obj.GetDeletionTimestamp() != nil && (grace == nil || *grace == 0) {
		r.change(Delete, resource, obj)
		return
	}
	r.change(Update, resource, obj)
}

// gracePeriod is how many seconds the pod's agent has to stop it. There is nothing to stop when no node has it or when
// it has ended.
func gracePeriod(pod *corev1.Pod) int64 {
	if pod.Spec.NodeName == "" || hasEnded(pod) {
		return 0
	}
	if pod.DeletionGracePeriodSeconds != nil {
		return *pod.DeletionGracePeriodSeconds
	}
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		return max(*pod.Spec.TerminationGracePeriodSeconds, 0)
	}
	return corev1.DefaultTerminationGracePeriodSeconds
}

func marked(obj Object, grace int64, env *Env) Object {
	obj = clone(obj)
	at := metav1.NewTime(env.stamp().Add(time.Duration(grace) * time.Second))
	obj.SetDeletionTimestamp(&at)
	obj.SetDeletionGracePeriodSeconds(&grace)
	if obj.GetGeneration() > 0 {
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
	return obj
}

func clone[T Object](obj T) T { return obj.DeepCopyObject().(T) }
