package managed

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/openapi"
)

// BenchmarkUpdate compares with FieldManager, for a new pod and for one annotation of it.
func BenchmarkUpdate(b *testing.B) {
	converter, err := openapi.TypeConverter()
	if err != nil {
		b.Fatal(err)
	}
	k := kind.Find("", "v1", "pods")
	m, err := newManager(k, "", converter)
	if err != nil {
		b.Fatal(err)
	}
	empty, pod := Empty(k), examplePod()
	next := pod.DeepCopy()
	next.Annotations["n"] = "2"
	for name, do := range map[string]func(live, wanted kind.Object){
		"tracker":      func(live, wanted kind.Object) { m.Update(live, wanted, "m") },
		"FieldManager": func(live, wanted kind.Object) { m.fields.UpdateNoErrors(live, wanted, "m") },
	} {
		b.Run("create/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pod.SetManagedFields(nil)
				do(empty, pod)
			}
		})
		b.Run("annotate/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				next.SetManagedFields(pod.GetManagedFields())
				do(pod, next)
			}
		})
	}
}

func examplePod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "p", UID: "1", Labels: map[string]string{"app": "a", "tier": "b"}, Annotations: map[string]string{"n": "1"},
	}}
	p.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	probe := &corev1.Probe{PeriodSeconds: 5, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("http")}}}
	for _, name := range []string{"a", "b"} {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
			Name: name, Image: "i:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80, Protocol: corev1.ProtocolTCP}},
			Env:            []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}, {Name: "C", Value: "3"}},
			Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}},
			ReadinessProbe: probe, LivenessProbe: probe, VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}},
		})
	}
	p.Spec.Volumes = []corev1.Volume{{Name: "v"}}
	return p
}
