package support

import (
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// whole are the struct types that covey takes with all that is in them.
var whole = map[reflect.Type]bool{
	of[metav1.TypeMeta](): true, of[metav1.ObjectMeta](): true, of[metav1.LabelSelector](): true,
	of[metav1.Time](): true, of[metav1.MicroTime](): true, of[intstr.IntOrString](): true, of[resource.Quantity](): true,
	of[corev1.PodStatus](): true, of[appsv1.DeploymentStatus](): true, of[appsv1.ReplicaSetStatus](): true,
	of[policyv1.PodDisruptionBudgetStatus](): true, of[autoscalingv2.HorizontalPodAutoscalerStatus](): true, of[corev1.ServiceSpec](): true, of[corev1.ServiceStatus](): true, of[discoveryv1.Endpoint](): true, of[discoveryv1.EndpointPort](): true,
	of[corev1.NamespaceStatus](): true, of[corev1.NodeStatus](): true,
	of[appsv1.DeploymentStrategy](): true, of[corev1.ObjectReference](): true, of[corev1.EventSource](): true, of[corev1.EventSeries](): true,
	of[corev1.Affinity](): true, of[corev1.TopologySpreadConstraint](): true, of[corev1.PodSchedulingGate](): true, of[corev1.HostAlias](): true, of[corev1.PodDNSConfig](): true,
	of[corev1.ConfigMapEnvSource](): true, of[corev1.SecretEnvSource](): true,
	of[corev1.ObjectFieldSelector](): true, of[corev1.ResourceFieldSelector](): true,
	of[corev1.ConfigMapKeySelector](): true, of[corev1.SecretKeySelector](): true,
	of[corev1.ExecAction](): true, of[corev1.HTTPHeader](): true, of[corev1.SleepAction](): true, of[corev1.Capabilities](): true,
}

// TestNoFieldIsForgotten fails for a field of an object that no table names, and for a table's line about no field.
func TestNoFieldIsForgotten(t *testing.T) {
	seen := map[reflect.Type]bool{}
	for _, obj := range []any{
		corev1.Pod{}, appsv1.Deployment{}, appsv1.ReplicaSet{}, corev1.Namespace{}, corev1.Node{}, corev1.ConfigMap{},
		corev1.Secret{}, corev1.Event{}, corev1.ServiceAccount{}, schedulingv1.PriorityClass{}, policyv1.PodDisruptionBudget{},
		corev1.Service{}, autoscalingv2.HorizontalPodAutoscaler{}, coordinationv1.Lease{}, discoveryv1.EndpointSlice{},
	} {
		checkType(t, reflect.TypeOf(obj), seen)
	}
	for typ := range Tables() {
		if !seen[typ] {
			t.Errorf("there is a table for %s, which no object contains", typ)
		}
	}
}

func checkType(t *testing.T, typ reflect.Type, seen map[reflect.Type]bool) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || seen[typ] || whole[typ] {
		return
	}
	seen[typ] = true
	table, ok := Tables()[typ]
	if !ok {
		t.Errorf("no table for %s", typ)
		return
	}
	named := map[string]bool{"metadata": true, "status": true} // which not every kind has
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := Name(f)
		if name == "" {
			checkType(t, f.Type, seen)
			continue
		}
		named[name] = true
		rule, ok := table[name]
		if !ok {
			t.Errorf("%s: no rule for the field %q", typ, name)
		}
		if rule.Level == Acted {
			checkType(t, f.Type, seen)
		} else if rule.Note == "" {
			t.Errorf("%s: the field %q is %s and its rule does not say why", typ, name, rule.Level)
		}
	}
	for name := range table {
		if !named[name] {
			t.Errorf("%s: there is a rule for %q, which is no field", typ, name)
		}
	}
}
