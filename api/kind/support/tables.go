package support

import (
	"maps"
	"reflect"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
)

// Tables are the rules of all struct types that have any, built at first use. Callers must not change them.
//
// To change what covey says of a field, change its line in the files of this package and run go generate.
var Tables = sync.OnceValue(func() map[reflect.Type]Table {
	all := map[reflect.Type]Table{}
	for _, some := range []map[reflect.Type]Table{kindTables(), autoscalerTables(), podTables(), containerTables(), actionTables(), volumeTables()} {
		maps.Copy(all, some)
	}
	return all
})

func of[T any]() reflect.Type { return reflect.TypeFor[T]() }

// object is the table of a kind's own type: spec and more are its fields beside the metadata and the status.
func object(more Table) Table {
	t := Table{
		"metadata": acted("As in Kubernetes."),
		"status":   acted("Written by covey, or by a client through the status subresource."),
	}
	maps.Copy(t, more)
	return t
}

func kindTables() map[reflect.Type]Table {
	return map[reflect.Type]Table{
		of[corev1.Pod]():        object(Table{"spec": acted()}),
		of[appsv1.Deployment](): object(Table{"spec": acted()}),
		of[appsv1.DeploymentSpec](): {
			"replicas": acted(), "selector": acted("Immutable."), "template": acted(), "strategy": acted("RollingUpdate and Recreate."),
			"minReadySeconds": acted(), "revisionHistoryLimit": acted(), "paused": acted(), "progressDeadlineSeconds": acted(),
		},
		of[appsv1.ReplicaSet](): object(Table{"spec": acted()}),
		of[appsv1.ReplicaSetSpec](): {
			"replicas": acted(), "minReadySeconds": acted(), "selector": acted("Immutable."), "template": acted(),
		},
		of[corev1.PodTemplateSpec](): {"metadata": acted("Labels, annotations and finalizers go to the pods."), "spec": acted()},
		of[corev1.Namespace]():       object(Table{"spec": acted()}),
		of[corev1.NamespaceSpec]():   {"finalizers": acted("Changed through the finalize subresource.")},
		of[corev1.Node]():            object(Table{"spec": acted()}),
		of[corev1.NodeSpec](): {
			"podCIDR": acted(), "podCIDRs": acted(), "unschedulable": acted(), "taints": acted(),
			"providerID":          acted("Stored for others; covey has no cloud provider."),
			"configSource":        warned("nodes take their configuration from their own files"),
			"externalID":          warned("Kubernetes no longer uses it"),
			"podPreemptionPolicy": warned("a pod preempts by its priority on every node"),
		},
		of[corev1.Taint](): {
			"key": acted(), "value": acted(), "timeAdded": acted(), "effect": acted(),
		},
		of[schedulingv1.PriorityClass](): object(Table{
			"value": acted("Immutable."), "globalDefault": acted(), "description": acted(), "preemptionPolicy": acted("Immutable."),
		}),
		of[policyv1.PodDisruptionBudget](): object(Table{"spec": acted()}),
		of[policyv1.PodDisruptionBudgetSpec](): {
			"minAvailable": acted(), "maxUnavailable": acted(), "selector": acted(), "unhealthyPodEvictionPolicy": acted(),
		},
		of[coordinationv1.Lease](): object(Table{"spec": acted("Kept for the clients that elect a leader by it.")}),
		of[coordinationv1.LeaseSpec](): {
			"holderIdentity": acted(), "leaseDurationSeconds": acted(), "acquireTime": acted(), "renewTime": acted(),
			"leaseTransitions": acted(), "strategy": acted(), "preferredHolder": acted(),
		},
		of[discoveryv1.EndpointSlice](): object(Table{
			"addressType": acted("Immutable."), "endpoints": acted("Stored for others: covey routes nothing by it yet."), "ports": acted(),
		}),
		of[corev1.Service](): object(Table{
			"spec": acted("Addresses (of 10.43.0.0/16) and node ports are allocated; nothing is routed by it yet, and IPv4 is the only family."),
		}),
		of[corev1.ConfigMap](): object(Table{"immutable": acted(), "data": acted(), "binaryData": acted()}),
		of[corev1.Secret]():    object(Table{"immutable": acted(), "data": acted(), "stringData": acted(), "type": acted()}),
		of[corev1.Event](): object(Table{
			"involvedObject": acted(), "reason": acted(), "message": acted(), "source": acted(), "firstTimestamp": acted(),
			"lastTimestamp": acted(), "count": acted(), "type": acted(), "eventTime": acted(), "series": acted(), "action": acted(),
			"related": acted(), "reportingComponent": acted(), "reportingInstance": acted(),
		}),
		of[corev1.ServiceAccount](): object(Table{
			"secrets":                      warned("no tokens are mounted into pods"),
			"imagePullSecrets":             warned("name them in the pods: pods do not take them from their service account"),
			"automountServiceAccountToken": warned("no tokens are mounted into pods").unless(false),
		}),
	}
}
