package kind

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/apps"
	appsconversion "k8s.io/kubernetes/pkg/apis/apps/v1"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	autoscalingv1conversion "k8s.io/kubernetes/pkg/apis/autoscaling/v1"
	autoscalingv2conversion "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/apis/coordination"
	coordinationconversion "k8s.io/kubernetes/pkg/apis/coordination/v1"
	"k8s.io/kubernetes/pkg/apis/core"
	coreconversion "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/discovery"
	discoveryconversion "k8s.io/kubernetes/pkg/apis/discovery/v1"
	eventsconversion "k8s.io/kubernetes/pkg/apis/events/v1"
	"k8s.io/kubernetes/pkg/apis/policy"
	policyconversion "k8s.io/kubernetes/pkg/apis/policy/v1"
	"k8s.io/kubernetes/pkg/apis/scheduling"
	schedulingconversion "k8s.io/kubernetes/pkg/apis/scheduling/v1"
)

// internal converts wire types to the internal types that Kubernetes' validation and conversion between versions are written for. It is built at the
// first write, for a node that only reads should not pay its memory.
var internal = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, autoscaling.AddToScheme, coordination.AddToScheme, discovery.AddToScheme, policy.AddToScheme, scheduling.AddToScheme,
		coreconversion.AddToScheme, appsconversion.AddToScheme, coordinationconversion.AddToScheme, discoveryconversion.AddToScheme,
		policyconversion.AddToScheme, schedulingconversion.AddToScheme, eventsconversion.AddToScheme,
		autoscalingv1conversion.AddToScheme, autoscalingv2conversion.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(fmt.Sprintf("build the validation's scheme: %v", err)) // it is made of constants
		}
	}
	return s
})

// internalOf is a copy of a wire object as Kubernetes' internal type T. The copy shares memory with obj, and validation
// writes to what it gets now and then (it fills metadata in), so obj is copied first.
func internalOf[T any, P interface {
	*T
	runtime.Object
}](obj Object) (P, error) {
	out := P(new(T))
	err := internal().Convert(obj.DeepCopyObject(), out, nil)
	return out, err
}

// check sets a kind's validation to Kubernetes' own, for the internal type T.
func check[T any, P interface {
	*T
	runtime.Object
}](k *Kind, create func(P) field.ErrorList, update func(obj, old P) field.ErrorList) {
	k.Validate = func(obj Object) field.ErrorList {
		in, err := internalOf[T, P](obj)
		if err != nil {
			return unconvertible(err)
		}
		return create(in)
	}
	k.ValidateUpdate = checkUpdate[T](update)
}

// checkStatus sets a kind's validation of writes to its status.
func checkStatus[T any, P interface {
	*T
	runtime.Object
}](k *Kind, update func(obj, old P) field.ErrorList) {
	k.HasStatus = true
	k.ValidateStatus = checkUpdate[T](update)
}

func checkUpdate[T any, P interface {
	*T
	runtime.Object
}](update func(obj, old P) field.ErrorList) func(obj, old Object) field.ErrorList {
	return func(obj, old Object) field.ErrorList {
		in, err := internalOf[T, P](obj)
		if err != nil {
			return unconvertible(err)
		}
		before, err := internalOf[T, P](old)
		if err != nil {
			return unconvertible(err)
		}
		return update(in, before)
	}
}

// unconvertible is for values that only the conversion finds wrong.
func unconvertible(err error) field.ErrorList {
	return field.ErrorList{field.Invalid(nil, "", err.Error())}
}
