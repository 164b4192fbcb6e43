package env

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var errMissing = errors.New("not found")

type source struct{}

func (source) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	if name != "conf" {
		return nil, errMissing
	}
	return &corev1.ConfigMap{Data: map[string]string{"colour": "blue", "size": "big"}}, nil
}

func (source) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	if name != "pass" {
		return nil, errMissing
	}
	return &corev1.Secret{Data: map[string][]byte{"word": []byte("swordfish")}}, nil
}

func (source) IsMissing(err error) bool { return errors.Is(err, errMissing) }

func ref(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

func fromMap(name, key string, optional *bool) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref(name), Key: key, Optional: optional}}
}

func fromField(path string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}
}

func aPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c"}}},
		Status:     corev1.PodStatus{PodIP: "10.42.0.2", HostIP: "192.0.2.1"},
	}
}

func TestResolve(t *testing.T) {
	yes := true
	pod := aPod()
	c := &pod.Spec.Containers[0]
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
	c.EnvFrom = []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("conf")}},
		{Prefix: "P_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("pass")}},
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("none"), Optional: &yes}},
	}
	c.Env = []corev1.EnvVar{
		{Name: "size", Value: "small"},
		{Name: "BOTH", Value: "$(colour)-$(P_word)-$$(kept)-$(nowhere)-$(LATER)"},
		{Name: "LATER", Value: "x"},
		{Name: "KEY", ValueFrom: fromMap("conf", "colour", nil)},
		{Name: "UNSET", ValueFrom: fromMap("conf", "weight", &yes)},
		{Name: "UNSET2", ValueFrom: fromMap("none", "weight", &yes)},
		{Name: "WORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("pass"), Key: "word"}}},
		{Name: "IP", ValueFrom: fromField("status.podIP")},
		{Name: "APP", ValueFrom: fromField("metadata.labels['app']")},
		{Name: "NODE", ValueFrom: fromField("spec.nodeName")},
		{Name: "MEMORY", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}},
		{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
	}
	e, err := Resolve(context.Background(), source{}, pod, c, corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"colour=blue", "size=small", "P_word=swordfish", "BOTH=blue-swordfish-$(kept)-$(nowhere)-$(LATER)", "LATER=x",
		"KEY=blue", "WORD=swordfish", "IP=10.42.0.2", "APP=web", "NODE=n1", "MEMORY=64", "CPU=4",
	}
	if got := e.List(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := e.Expand([]string{"--colour=$(colour)", "$(NO)"}); !slices.Equal(got, []string{"--colour=blue", "$(NO)"}) || e.Expand(nil) != nil {
		t.Errorf("%q", got)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for want, env := range map[string]corev1.EnvVar{
		"not found": {Name: "A", ValueFrom: fromMap("none", "x", nil)},
		"couldn't find key weight in ConfigMap default/conf": {Name: "A", ValueFrom: fromMap("conf", "weight", nil)},
		"spec.nowhere": {Name: "A", ValueFrom: fromField("spec.nowhere")},
	} {
		pod := aPod()
		pod.Spec.Containers[0].Env = []corev1.EnvVar{env}
		if _, err := Resolve(context.Background(), source{}, pod, &pod.Spec.Containers[0], nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
