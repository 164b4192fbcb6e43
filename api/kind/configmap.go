package kind

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func configMapKind() *Kind {
	k := base[corev1.ConfigMap, corev1.ConfigMapList](corev1.SchemeGroupVersion.WithKind("ConfigMap"), "configmaps", "configmap", "cm")
	check[core.ConfigMap](k, validation.ValidateConfigMap, validation.ValidateConfigMapUpdate)
	selectable[*corev1.ConfigMap](k, nil)
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		text("Data", corev1.ConfigMap{}.SwaggerDoc()["data"]),
		ageColumn(),
	}
	k.Row = rowOf(func(m *corev1.ConfigMap, now time.Time) []any {
		return []any{m.Name, int64(len(m.Data) + len(m.BinaryData)), age(m, now)}
	})
	return k
}
