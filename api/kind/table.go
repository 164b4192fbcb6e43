package kind

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// What kubectl shows where there is no value.
const (
	none    = "<none>"
	unknown = "<unknown>"
)

// meta's descriptions are what Kubernetes says of the two columns that nearly all kinds have.
func nameColumn() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}
}

func ageColumn() metav1.TableColumnDefinition {
	return text("Age", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])
}

func text(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Description: description}
}

func number(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "integer", Description: description}
}

// wide is a column that only -o wide shows.
func wide(c metav1.TableColumnDefinition) metav1.TableColumnDefinition {
	c.Priority = 1
	return c
}

// rowOf gives a row function of one kind's type the form that Kind has for all.
func rowOf[T Object](f func(obj T, now time.Time) []any) func(Object, time.Time) []any {
	return func(obj Object, now time.Time) []any { return f(obj.(T), now) }
}

// since is the time from t to now as kubectl shows it: "5m", "3d4h".
func since(t, now time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return duration.HumanDuration(now.Sub(t))
}

func age(obj metav1.Object, now time.Time) string { return since(obj.GetCreationTimestamp().Time, now) }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// containerCells are the names and the images of a template's containers.
func containerCells(containers []corev1.Container) (names, images string) {
	var n, i []string
	for _, c := range containers {
		n = append(n, c.Name)
		i = append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// templateColumns are the wide columns of a kind that makes pods; selector describes its selector.
func templateColumns(selector string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		wide(text("Containers", "Names of each container in the template.")),
		wide(text("Images", "Images referenced by each container in the template.")),
		wide(text("Selector", selector)),
	}
}
