package api_test

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestBinding(t *testing.T) {
	s := start(t)
	clients := s.client(true)
	s.must(http.StatusCreated, "POST", pods, podOn(""))
	bind := func(change func(*corev1.Binding)) error {
		b := &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", Annotations: map[string]string{"by": "tester"}},
			Target:     corev1.ObjectReference{Kind: "Node", Name: "n1"},
		}
		change(b)
		return clients.CoreV1().Pods("default").Bind(t.Context(), b, metav1.CreateOptions{})
	}
	for name, c := range map[string]struct {
		change func(*corev1.Binding)
		is     func(error) bool
		want   string
	}{
		"no node":      {func(b *corev1.Binding) { b.Target.Name = "" }, apierrors.IsInvalid, "target.name: Required value"},
		"no node kind": {func(b *corev1.Binding) { b.Target.Kind = "Pod" }, apierrors.IsInvalid, "target.kind: Unsupported value"},
		"other life":   {func(b *corev1.Binding) { b.UID = types.UID("x") }, apierrors.IsConflict, "Precondition failed: UID"},
		"no such pod":  {func(b *corev1.Binding) { b.Name = "q" }, apierrors.IsNotFound, `pods "q" not found`},
	} {
		if err := bind(c.change); !c.is(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	s.must(http.StatusCreated, "POST", pods+"/p/binding?dryRun=All", `{"metadata":{"name":"p"},"target":{"name":"n1"}}`)
	if err := bind(func(*corev1.Binding) {}); err != nil {
		t.Fatal(err)
	}
	pod := s.must(http.StatusOK, "GET", pods+"/p", "")
	s.expect(pod, "n1", "spec", "nodeName")
	s.expect(pod, "tester", "metadata", "annotations", "by")
	s.expect(pod, "PodScheduled", "status", "conditions", 0, "type")
	s.expect(pod, "True", "status", "conditions", 0, "status")
	if err := bind(func(*corev1.Binding) {}); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `pod p is already assigned to node "n1"`) {
		t.Errorf("%v", err)
	}
}

func TestBindingsCreate(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", pods, podOn(""))
	out := s.must(http.StatusCreated, "POST", "/api/v1/namespaces/default/bindings", `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"name":"n1"}}`)
	s.expect(out, "Success", "status")
	s.expect(s.must(http.StatusOK, "GET", pods+"/p", ""), "n1", "spec", "nodeName")
}

func TestBindingWaitsForGates(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", pods, strings.Replace(podOn(""), `"spec":{`, `"spec":{"schedulingGates":[{"name":"x.example/y"}],`, 1))
	out := s.must(http.StatusConflict, "POST", pods+"/p/binding", `{"metadata":{"name":"p"},"target":{"name":"n1"}}`)
	s.expect(out, `Operation cannot be fulfilled on pods/binding "p": pod p has non-empty .spec.schedulingGates`, "message")
}
