package kind

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/apps/validation"
)

func replicaSetKind() *Kind {
	k := base[appsv1.ReplicaSet, appsv1.ReplicaSetList](appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), "replicasets", "replicaset", "rs")
	k.Categories = []string{"all"}
	k.Default = func(obj Object) {
		settleServiceAccount(&obj.(*appsv1.ReplicaSet).Spec.Template.Spec)
		Scheme().Default(obj)
	}
	k.PrepareCreate = func(obj Object, _ time.Time) {
		rs := obj.(*appsv1.ReplicaSet)
		rs.Status, rs.Generation = appsv1.ReplicaSetStatus{}, 1
	}
	k.PrepareUpdate = onBoth(func(rs, old *appsv1.ReplicaSet) {
		rs.Status = old.Status
		rs.Generation = old.Generation
		if !equality.Semantic.DeepEqual(rs.Spec, old.Spec) {
			rs.Generation++
		}
	})
	k.PrepareStatus = onBoth(func(rs, old *appsv1.ReplicaSet) { rs.Spec = old.Spec })
	check[apps.ReplicaSet](k, func(rs *apps.ReplicaSet) field.ErrorList {
		return validation.ValidateReplicaSet(rs, pod.GetValidationOptionsFromPodTemplate(&rs.Spec.Template, nil))
	}, func(rs, old *apps.ReplicaSet) field.ErrorList {
		return validation.ValidateReplicaSetUpdate(rs, old, pod.GetValidationOptionsFromPodTemplate(&rs.Spec.Template, &old.Spec.Template))
	})
	checkStatus[apps.ReplicaSet](k, validation.ValidateReplicaSetStatusUpdate)
	k.Scale = &Scale{Get: replicaSetScale, Set: func(obj Object, n int32) { obj.(*appsv1.ReplicaSet).Spec.Replicas = &n }}
	checkAtMostOne(k)
	refuseFields(k)
	warnOfFields(k, replicaSetPart, replicaSetWarnings)
	selectable(k, func(rs *appsv1.ReplicaSet) fields.Set {
		return fields.Set{"status.replicas": strconv.Itoa(int(rs.Status.Replicas))}
	})
	k.Columns = replicaSetColumns()
	k.Row = rowOf(replicaSetRow)
	return k
}

func replicaSetScale(obj Object) *autoscalingv1.Scale {
	rs := obj.(*appsv1.ReplicaSet)
	return scaleOf(rs, rs.Spec.Replicas, rs.Status.Replicas, rs.Spec.Selector)
}

func replicaSetColumns() []metav1.TableColumnDefinition {
	spec, status := appsv1.ReplicaSetSpec{}.SwaggerDoc(), appsv1.ReplicaSetStatus{}.SwaggerDoc()
	return append([]metav1.TableColumnDefinition{
		nameColumn(),
		number("Desired", spec["replicas"]),
		number("Current", status["replicas"]),
		number("Ready", status["readyReplicas"]),
		ageColumn(),
	}, templateColumns(spec["selector"])...)
}

func replicaSetRow(rs *appsv1.ReplicaSet, now time.Time) []any {
	names, images := containerCells(rs.Spec.Template.Spec.Containers)
	return []any{
		rs.Name, int64(replicas(rs.Spec.Replicas)), int64(rs.Status.Replicas), int64(rs.Status.ReadyReplicas), age(rs, now),
		names, images, metav1.FormatLabelSelector(rs.Spec.Selector),
	}
}
