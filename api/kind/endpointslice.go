package kind

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/discovery"
	"k8s.io/kubernetes/pkg/apis/discovery/validation"
)

func endpointSliceKind() *Kind {
	k := base[discoveryv1.EndpointSlice, discoveryv1.EndpointSliceList](
		discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), "endpointslices", "endpointslice")
	k.PrepareCreate = func(obj Object, _ time.Time) { obj.SetGeneration(1) }
	k.PrepareUpdate = onBoth(func(s, old *discoveryv1.EndpointSlice) {
		s.Generation = old.Generation
		now, before := *s, *old
		now.ObjectMeta, before.ObjectMeta = metav1.ObjectMeta{}, metav1.ObjectMeta{}
		if !equality.Semantic.DeepEqual(now, before) || !equality.Semantic.DeepEqual(s.Labels, old.Labels) {
			s.Generation++
		}
	})
	check[discovery.EndpointSlice](k, validation.ValidateEndpointSliceCreate, validation.ValidateEndpointSliceUpdate)
	selectable[*discoveryv1.EndpointSlice](k, nil)
	doc := discoveryv1.EndpointSlice{}.SwaggerDoc()
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		text("AddressType", doc["addressType"]),
		text("Ports", doc["ports"]),
		text("Endpoints", doc["endpoints"]),
		ageColumn(),
	}
	k.Row = rowOf(func(s *discoveryv1.EndpointSlice, now time.Time) []any {
		return []any{s.Name, string(s.AddressType), fewOf(portCells(s.Ports)), fewOf(addressCells(s.Endpoints)), age(s, now)}
	})
	return k
}

func portCells(ports []discoveryv1.EndpointPort) []string {
	cells := make([]string, len(ports))
	for i, p := range ports {
		switch {
		case p.Port != nil:
			cells[i] = strconv.Itoa(int(*p.Port))
		case p.Name != nil:
			cells[i] = *p.Name
		default:
			cells[i] = "*"
		}
	}
	return cells
}

func addressCells(endpoints []discoveryv1.Endpoint) []string {
	var cells []string
	for _, e := range endpoints {
		cells = append(cells, e.Addresses...)
	}
	return cells
}

// fewOf is a cell with the first three of a list.
func fewOf(list []string) string {
	const most = 3
	switch {
	case len(list) == 0:
		return "<unset>"
	case len(list) > most:
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:most], ","), len(list)-most)
	}
	return strings.Join(list, ",")
}
