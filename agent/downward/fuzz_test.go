package downward

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzFieldPath asks a pod for any field.
func FuzzFieldPath(f *testing.F) {
	for _, seed := range []string{
		"metadata.name", "metadata.labels", "metadata.labels['a']", "metadata.annotations['x/y']", "metadata.labels['']", "metadata.labels['a", "metadata.uid['a']",
		"status.podIPs", "spec.containers[0].name", "", "'", "['']", "metadata.labels[\"a\"]", "status.hostIPs", "metadata.annotations['é']",
	} {
		f.Add(seed, "a", "b")
	}
	f.Fuzz(func(t *testing.T, path, key, value string) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{key: value}, Annotations: map[string]string{key: value}}}
		got, err := Field(pod, path)
		if err != nil && got != "" {
			t.Errorf("%q gives %q and %v", path, got, err)
		}
		if err == nil && path == "metadata.labels['"+key+"']" && !strings.Contains(key, "'") && got != value {
			t.Errorf("%q gives %q, want %q", path, got, value)
		}
	})
}
