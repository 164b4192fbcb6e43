package kind

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	serviceapi "k8s.io/kubernetes/pkg/api/service"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func serviceKind() *Kind {
	k := base[corev1.Service, corev1.ServiceList](corev1.SchemeGroupVersion.WithKind("Service"), "services", "service", "svc")
	k.Categories = []string{"all"}
	k.PrepareCreate = func(obj Object, _ time.Time) {
		s := obj.(*corev1.Service)
		s.Status = corev1.ServiceStatus{}
		if s.Spec.ClusterIP != "" && len(s.Spec.ClusterIPs) == 0 {
			s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
		}
	}
	k.PrepareUpdate = onBoth(prepareService)
	k.PrepareStatus = onBoth(func(s, old *corev1.Service) { s.Spec = old.Spec })
	k.Reserve, k.Holds = reserveForService, heldByService
	check[core.Service](k, validation.ValidateServiceCreate, validation.ValidateServiceUpdate)
	checkStatus[core.Service](k, validation.ValidateServiceStatusUpdate)
	k.Warnings = serviceWarnings
	selectable(k, func(s *corev1.Service) fields.Set {
		return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
	})
	doc := corev1.ServiceSpec{}.SwaggerDoc()
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		text("Type", doc["type"]),
		text("Cluster-IP", doc["clusterIP"]),
		text("External-IP", doc["externalIPs"]),
		text("Port(s)", doc["ports"]),
		ageColumn(),
		wide(text("Selector", doc["selector"])),
	}
	k.Row = rowOf(func(s *corev1.Service, now time.Time) []any {
		ip := none
		if len(s.Spec.ClusterIPs) > 0 {
			ip = s.Spec.ClusterIPs[0]
		}
		return []any{
			s.Name, string(s.Spec.Type), ip, externalCell(s), orElse(servicePorts(s.Spec.Ports), none), age(s, now),
			labels.FormatLabels(s.Spec.Selector),
		}
	})
	return k
}

// serviceWarnings say what covey does not do yet, and what Kubernetes warns of.
func serviceWarnings(_ context.Context, obj, old Object) []string {
	var warnings []string
	if old == nil {
		warnings = append(warnings, "covey keeps the Service, but does not route to its pods yet")
	}
	if s, err := internalOf[core.Service](obj); err == nil {
		var before *core.Service
		if old != nil {
			if before, err = internalOf[core.Service](old); err != nil {
				return warnings
			}
		}
		warnings = append(warnings, serviceapi.GetWarningsForService(s, before)...)
	}
	return warnings
}

func externalCell(s *corev1.Service) string {
	ips := s.Spec.ExternalIPs
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		var balancers []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			balancers = append(balancers, orElse(in.IP, in.Hostname))
		}
		return orElse(strings.Join(append(balancers, ips...), ","), "<pending>")
	}
	return orElse(strings.Join(ips, ","), none)
}

func servicePorts(ports []corev1.ServicePort) string {
	cells := make([]string, len(ports))
	for i, p := range ports {
		cells[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.NodePort > 0 {
			cells[i] = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		}
	}
	return strings.Join(cells, ",")
}

var specPath = field.NewPath("spec")
