package node

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// emptyState is that of a store that was just made.
func emptyState(t *testing.T) *store.Snapshot {
	t.Helper()
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: kind.Scheme(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	snap := st.Snapshot()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := st.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestAControllersPodIsDefaultedAsAUsers(t *testing.T) {
	limits := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "app:1", Resources: corev1.ResourceRequirements{Limits: limits}}}}}
	if err := admitPod(emptyState(t), pod, time.Now()); err != nil {
		t.Fatal(err)
	}
	if request := pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU]; request.Cmp(limits[corev1.ResourceCPU]) != 0 {
		t.Errorf("the request is %s, want the limit", &request)
	}
	if pod.Status.QOSClass != corev1.PodQOSGuaranteed || len(pod.Spec.Tolerations) == 0 {
		t.Errorf("quality of service %s, tolerations %v", pod.Status.QOSClass, pod.Spec.Tolerations)
	}
}
