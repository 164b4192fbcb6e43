package support

import (
	"reflect"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

func autoscalerTables() map[reflect.Type]Table {
	resource := Table{"name": acted("cpu or memory."), "target": acted()}
	return map[reflect.Type]Table{
		of[autoscalingv2.HorizontalPodAutoscaler](): object(Table{"spec": acted()}),
		of[autoscalingv2.HorizontalPodAutoscalerSpec](): {
			"scaleTargetRef": acted("What has a scale subresource."), "minReplicas": acted("0 too, whatever is measured."),
			"maxReplicas": acted(), "metrics": acted("The one that wants most wins."), "behavior": acted(),
		},
		of[autoscalingv2.CrossVersionObjectReference](): {"kind": acted(), "name": acted(), "apiVersion": acted()},
		of[autoscalingv2.MetricSpec](): {
			"type": acted("Resource, ContainerResource, Pods."), "resource": acted(), "containerResource": acted(), "pods": acted(),
			"object": refused("covey does not measure it"), "external": refused("covey does not measure it"),
		},
		of[autoscalingv2.ResourceMetricSource](): resource,
		of[autoscalingv2.ContainerResourceMetricSource](): {
			"name": acted("cpu or memory."), "container": acted(), "target": acted(),
		},
		of[autoscalingv2.PodsMetricSource]():                {"metric": acted("requests_per_second or requests_in_flight."), "target": acted()},
		of[autoscalingv2.MetricIdentifier]():                {"name": acted(), "selector": refused("covey's metrics of pods have no labels")},
		of[autoscalingv2.MetricTarget]():                    {"type": acted(), "averageUtilization": acted("Percent of what the pods request."), "averageValue": acted(), "value": refused("a total is for Object and External metrics")},
		of[autoscalingv2.HorizontalPodAutoscalerBehavior](): {"scaleUp": acted(), "scaleDown": acted()},
		of[autoscalingv2.HPAScalingRules](): {
			"stabilizationWindowSeconds": acted("At most 3600."), "selectPolicy": acted(), "policies": acted(), "tolerance": acted(),
		},
		of[autoscalingv2.HPAScalingPolicy](): {"type": acted(), "value": acted(), "periodSeconds": acted("At most 1800.")},
	}
}
