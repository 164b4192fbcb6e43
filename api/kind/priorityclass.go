package kind

import (
	"time"

	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/scheduling"
	schedulingdefaults "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/pkg/apis/scheduling/validation"
)

func priorityClassKind() *Kind {
	k := base[schedulingv1.PriorityClass, schedulingv1.PriorityClassList](
		schedulingv1.SchemeGroupVersion.WithKind("PriorityClass"), "priorityclasses", "priorityclass", "pc")
	k.Namespaced = false
	k.PrepareCreate = func(obj Object, _ time.Time) { obj.SetGeneration(1) }
	check[scheduling.PriorityClass](k, validation.ValidatePriorityClass, validation.ValidatePriorityClassUpdate)
	selectable[*schedulingv1.PriorityClass](k, nil)
	doc := schedulingv1.PriorityClass{}.SwaggerDoc()
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		number("Value", doc["value"]),
		{Name: "Global-Default", Type: "boolean", Description: doc["globalDefault"]},
		ageColumn(),
		text("PreemptionPolicy", doc["preemptionPolicy"]),
	}
	k.Row = rowOf(func(c *schedulingv1.PriorityClass, now time.Time) []any {
		policy := ""
		if c.PreemptionPolicy != nil {
			policy = string(*c.PreemptionPolicy)
		}
		return []any{c.Name, int64(c.Value), c.GlobalDefault, age(c, now), policy}
	})
	return k
}

// SystemPriorityClasses are those that every cluster has.
func SystemPriorityClasses() []*schedulingv1.PriorityClass {
	classes := schedulingdefaults.SystemPriorityClasses()
	for _, c := range classes {
		Scheme().Default(c)
		c.Generation = 1
	}
	return classes
}
