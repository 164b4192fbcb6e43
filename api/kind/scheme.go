package kind

import (
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	appsdefaults "k8s.io/kubernetes/pkg/apis/apps/v1"
	autoscalingv1defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v1"
	autoscalingdefaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	coredefaults "k8s.io/kubernetes/pkg/apis/core/v1"
	discoverydefaults "k8s.io/kubernetes/pkg/apis/discovery/v1"
	schedulingdefaults "k8s.io/kubernetes/pkg/apis/scheduling/v1"
)

// Scheme knows the wire types that covey serves or reads, and Kubernetes' own defaulting for them. It is one for the
// whole process; callers must not add to it.
//
// The types are named one by one: the AddToScheme functions of k8s.io/api would also register Kubernetes' internal
// types' conversions, as soon as those are linked, which costs memory that a node without writes need not pay.
var Scheme = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(corev1.SchemeGroupVersion,
		&corev1.Namespace{}, &corev1.NamespaceList{},
		&corev1.Node{}, &corev1.NodeList{},
		&corev1.Pod{}, &corev1.PodList{},
		&corev1.ConfigMap{}, &corev1.ConfigMapList{},
		&corev1.Secret{}, &corev1.SecretList{},
		&corev1.Event{}, &corev1.EventList{},
		&corev1.Service{}, &corev1.ServiceList{},
		&corev1.ServiceAccount{}, &corev1.ServiceAccountList{},
		&corev1.Binding{}, &corev1.PodLogOptions{}, &corev1.PodExecOptions{}, &corev1.PodAttachOptions{},
		&corev1.PodPortForwardOptions{}, &corev1.SerializedReference{},
		&metav1.Status{},
	)
	s.AddKnownTypes(appsv1.SchemeGroupVersion,
		&appsv1.Deployment{}, &appsv1.DeploymentList{},
		&appsv1.ReplicaSet{}, &appsv1.ReplicaSetList{},
	)
	s.AddKnownTypes(coordinationv1.SchemeGroupVersion, &coordinationv1.Lease{}, &coordinationv1.LeaseList{})
	s.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{})
	s.AddKnownTypes(policyv1.SchemeGroupVersion,
		&policyv1.PodDisruptionBudget{}, &policyv1.PodDisruptionBudgetList{}, &policyv1.Eviction{},
	)
	s.AddKnownTypes(schedulingv1.SchemeGroupVersion, &schedulingv1.PriorityClass{}, &schedulingv1.PriorityClassList{})
	s.AddKnownTypes(autoscalingv1.SchemeGroupVersion,
		&autoscalingv1.Scale{}, &autoscalingv1.HorizontalPodAutoscaler{}, &autoscalingv1.HorizontalPodAutoscalerList{},
	)
	s.AddKnownTypes(eventsv1.SchemeGroupVersion, &eventsv1.Event{}, &eventsv1.EventList{})
	s.AddKnownTypes(autoscalingv2.SchemeGroupVersion, &autoscalingv2.HorizontalPodAutoscaler{}, &autoscalingv2.HorizontalPodAutoscalerList{})
	s.AddKnownTypes(authorizationv1.SchemeGroupVersion,
		&authorizationv1.SelfSubjectAccessReview{}, &authorizationv1.SelfSubjectRulesReview{},
		&authorizationv1.SubjectAccessReview{}, &authorizationv1.LocalSubjectAccessReview{},
	)
	s.AddKnownTypes(authenticationv1.SchemeGroupVersion,
		&authenticationv1.SelfSubjectReview{}, &authenticationv1.TokenReview{}, &authenticationv1.TokenRequest{},
	)
	for _, gv := range []schema.GroupVersion{
		corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, coordinationv1.SchemeGroupVersion, discoveryv1.SchemeGroupVersion,
		policyv1.SchemeGroupVersion, schedulingv1.SchemeGroupVersion, autoscalingv1.SchemeGroupVersion, autoscalingv2.SchemeGroupVersion,
		eventsv1.SchemeGroupVersion, authorizationv1.SchemeGroupVersion, authenticationv1.SchemeGroupVersion,
	} {
		metav1.AddToGroupVersion(s, gv)
	}
	for _, add := range []func(*runtime.Scheme) error{
		metav1.AddMetaToScheme, coredefaults.RegisterDefaults, appsdefaults.RegisterDefaults, discoverydefaults.RegisterDefaults,
		schedulingdefaults.RegisterDefaults, autoscalingdefaults.RegisterDefaults, autoscalingv1defaults.RegisterDefaults,
	} {
		if err := add(s); err != nil {
			panic(fmt.Sprintf("build the scheme: %v", err)) // it is made of constants
		}
	}
	return s
})
