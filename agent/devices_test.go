package agent

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDevicesAreNamedByAnnotations(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
		"cdi.k8s.io/b": "x.org/gpu=0, x.org/gpu=1", "cdi.k8s.io/a": "x.org/cam=front,x.org/gpu=0", "other": "x.org/gpu=2",
	}}}
	if got := devices(pod); !slices.Equal(got, []string{"x.org/cam=front", "x.org/gpu=0", "x.org/gpu=1"}) {
		t.Errorf("%q", got)
	}
}
