package kind

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// read gives the object of a manifest with its defaults.
func read[T Object](t *testing.T, k *Kind, manifest string, obj T) T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(manifest), obj); err != nil {
		t.Fatal(err)
	}
	k.Default(obj)
	return obj
}

func TestAtMostOneIsSaidClearly(t *testing.T) {
	const spec = "{containers: [{name: c, image: busybox}]}"
	pods, deployments := Find("", "v1", "pods"), Find("apps", "v1", "deployments")
	pod := func(note string) *corev1.Pod {
		return read(t, pods, "metadata: {name: a, namespace: default, resourceVersion: '1', annotations: {"+note+"}}\nspec: "+spec, &corev1.Pod{})
	}
	deployment := func(note, strategy string) *appsv1.Deployment {
		return read(t, deployments, "metadata: {name: a, namespace: default}\nspec: {strategy: {"+strategy+"}, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, annotations: {"+
			note+"}}, spec: "+spec+"}}", &appsv1.Deployment{})
	}
	for _, test := range []struct {
		name string
		errs error
		want string
	}{
		{"a pod", pods.Validate(pod(atMostOne + ": 'true'")).ToAggregate(), ""},
		{"neither", pods.Validate(pod(atMostOne + ": 'yes'")).ToAggregate(), `metadata.annotations[covey.dev/at-most-one]: Unsupported value: "yes"`},
		{"added to a pod", pods.ValidateUpdate(pod(atMostOne+": 'true'"), pod("")).ToAggregate(), "it cannot be changed on a pod"},
		{"taken from a pod with its status", pods.ValidateStatus(pod(""), pod(atMostOne+": 'true'")).ToAggregate(), "it cannot be changed on a pod"},
		{"another annotation", pods.ValidateUpdate(pod("a: b, "+atMostOne+": 'true'"), pod(atMostOne+": 'true'")).ToAggregate(), ""},
		{"a deployment", deployments.Validate(deployment(atMostOne+": 'true'", "type: Recreate")).ToAggregate(), ""},
		{"a rolling one", deployments.Validate(deployment(atMostOne+": 'true'", "")).ToAggregate(), "spec.strategy.type"},
		{"a rolling one without", deployments.Validate(deployment(atMostOne+": 'false'", "")).ToAggregate(), ""},
	} {
		switch {
		case test.want == "" && test.errs != nil:
			t.Errorf("%s: %v", test.name, test.errs)
		case test.want != "" && (test.errs == nil || !strings.Contains(test.errs.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, test.errs, test.want)
		}
	}
}
