package kind

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/apps/validation"
)

func deploymentKind() *Kind {
	k := base[appsv1.Deployment, appsv1.DeploymentList](appsv1.SchemeGroupVersion.WithKind("Deployment"), "deployments", "deployment", "deploy")
	k.Categories = []string{"all"}
	k.Default = func(obj Object) {
		settleServiceAccount(&obj.(*appsv1.Deployment).Spec.Template.Spec)
		Scheme().Default(obj)
	}
	k.PrepareCreate = func(obj Object, _ time.Time) {
		d := obj.(*appsv1.Deployment)
		d.Status, d.Generation = appsv1.DeploymentStatus{}, 1
	}
	k.PrepareUpdate = onBoth(prepareDeployment)
	k.PrepareStatus = onBoth(func(d, old *appsv1.Deployment) {
		d.Spec = old.Spec
		keepLabels(d, old)
	})
	check[apps.Deployment](k, func(d *apps.Deployment) field.ErrorList {
		return validation.ValidateDeployment(d, pod.GetValidationOptionsFromPodTemplate(&d.Spec.Template, nil))
	}, func(d, old *apps.Deployment) field.ErrorList {
		return validation.ValidateDeploymentUpdate(d, old, pod.GetValidationOptionsFromPodTemplate(&d.Spec.Template, &old.Spec.Template))
	})
	checkStatus[apps.Deployment](k, validation.ValidateDeploymentStatusUpdate)
	k.Scale = &Scale{Get: deploymentScale, Set: func(obj Object, n int32) { obj.(*appsv1.Deployment).Spec.Replicas = &n }}
	checkAtMostOne(k)
	refuseFields(k)
	warnOfFields(k, deploymentPart, deploymentWarnings)
	selectable[*appsv1.Deployment](k, nil)
	k.Columns = deploymentColumns()
	k.Row = rowOf(deploymentRow)
	return k
}

// prepareDeployment sets the generation, which annotations raise too: they are copied to the replica sets.
func prepareDeployment(d, old *appsv1.Deployment) {
	d.Status = old.Status
	d.Generation = old.Generation
	if !equality.Semantic.DeepEqual(d.Spec, old.Spec) || !equality.Semantic.DeepEqual(d.Annotations, old.Annotations) {
		d.Generation++
	}
}

func deploymentScale(obj Object) *autoscalingv1.Scale {
	d := obj.(*appsv1.Deployment)
	return scaleOf(d, d.Spec.Replicas, d.Status.Replicas, d.Spec.Selector)
}

// scaleOf is the scale subresource of an object with these replicas.
func scaleOf(obj Object, want *int32, have int32, selector *metav1.LabelSelector) *autoscalingv1.Scale {
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: replicas(want)},
		Status: autoscalingv1.ScaleStatus{Replicas: have, Selector: selectorCell(selector)},
	}
}

// replicas is the wanted number, which is 1 where nothing is said.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func selectorCell(s *metav1.LabelSelector) string {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return "<invalid>"
	}
	return selector.String()
}

func deploymentColumns() []metav1.TableColumnDefinition {
	status := appsv1.DeploymentStatus{}.SwaggerDoc()
	return append([]metav1.TableColumnDefinition{
		nameColumn(),
		text("Ready", "Number of the pod with ready state"),
		text("Up-to-date", status["updatedReplicas"]),
		text("Available", status["availableReplicas"]),
		ageColumn(),
	}, templateColumns(appsv1.DeploymentSpec{}.SwaggerDoc()["selector"])...)
}

func deploymentRow(d *appsv1.Deployment, now time.Time) []any {
	names, images := containerCells(d.Spec.Template.Spec.Containers)
	return []any{
		d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, replicas(d.Spec.Replicas)),
		int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), age(d, now),
		names, images, selectorCell(d.Spec.Selector),
	}
}
