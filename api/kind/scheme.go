package kind

import (
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsdefaults "k8s.io/kubernetes/pkg/apis/apps/v1"
	coredefaults "k8s.io/kubernetes/pkg/apis/core/v1"
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
		&corev1.ServiceAccount{}, &corev1.ServiceAccountList{},
		&corev1.Binding{}, &corev1.PodLogOptions{}, &corev1.PodExecOptions{}, &corev1.PodAttachOptions{},
		&corev1.PodPortForwardOptions{}, &corev1.SerializedReference{},
		&metav1.Status{},
	)
	s.AddKnownTypes(appsv1.SchemeGroupVersion,
		&appsv1.Deployment{}, &appsv1.DeploymentList{},
		&appsv1.ReplicaSet{}, &appsv1.ReplicaSetList{},
	)
	s.AddKnownTypes(autoscalingv1.SchemeGroupVersion, &autoscalingv1.Scale{})
	s.AddKnownTypes(authorizationv1.SchemeGroupVersion,
		&authorizationv1.SelfSubjectAccessReview{}, &authorizationv1.SelfSubjectRulesReview{},
		&authorizationv1.SubjectAccessReview{}, &authorizationv1.LocalSubjectAccessReview{},
	)
	s.AddKnownTypes(authenticationv1.SchemeGroupVersion,
		&authenticationv1.SelfSubjectReview{}, &authenticationv1.TokenReview{}, &authenticationv1.TokenRequest{},
	)
	metav1.AddToGroupVersion(s, corev1.SchemeGroupVersion)
	metav1.AddToGroupVersion(s, appsv1.SchemeGroupVersion)
	metav1.AddToGroupVersion(s, autoscalingv1.SchemeGroupVersion)
	metav1.AddToGroupVersion(s, authorizationv1.SchemeGroupVersion)
	metav1.AddToGroupVersion(s, authenticationv1.SchemeGroupVersion)
	for _, add := range []func(*runtime.Scheme) error{metav1.AddMetaToScheme, coredefaults.RegisterDefaults, appsdefaults.RegisterDefaults} {
		if err := add(s); err != nil {
			panic(fmt.Sprintf("build the scheme: %v", err)) // it is made of constants
		}
	}
	return s
})
