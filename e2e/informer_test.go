package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"covey.dev/covey/e2e/harness"
)

// TestAnInformerFollowsAcrossARestart is what controllers written for Kubernetes rely on.
func TestAnInformerFollowsAcrossARestart(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	events := make(chan string, 64)
	factory := informers.NewSharedInformerFactoryWithOptions(n.Clients, 0, informers.WithNamespace("default"),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "watched=yes" }))
	informer := factory.Core().V1().ConfigMaps().Informer()
	text := func(obj any) string {
		if tomb, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = tomb.Obj
		}
		cm := obj.(*corev1.ConfigMap)
		return cm.Name + "=" + cm.Data["v"]
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { events <- "add " + text(obj) },
		UpdateFunc: func(_, obj any) { events <- "update " + text(obj) },
		DeleteFunc: func(obj any) { events <- "delete " + text(obj) },
	}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	defer factory.Shutdown()
	defer close(stop)
	factory.WaitForCacheSync(stop)

	next := func(want string) {
		t.Helper()
		timeout := time.After(time.Minute)
		for {
			select {
			case got := <-events:
				if got == want {
					return
				}
				// After it connects again an informer may list what it knows: updates without a change are no news.
				t.Logf("passing over %s", got)
			case <-timeout:
				t.Fatalf("the informer did not say %q", want)
			}
		}
	}
	configMaps := n.Clients.CoreV1().ConfigMaps("default")
	ctx := context.Background()
	put := func(name, value string) *corev1.ConfigMap {
		t.Helper()
		cm, err := configMaps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"watched": "yes"}},
			Data:       map[string]string{"v": value},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return cm
	}
	one, two := put("one", "1"), put("two", "1")
	next("add one=1")
	next("add two=1")

	n.Kill()
	n.Start()
	one.Data["v"] = "2"
	if _, err := configMaps.Update(ctx, one, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := configMaps.Delete(ctx, two.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	put("three", "1")
	next("update one=2")
	next("delete two=1")
	next("add three=1")
	// Leaving the selection is a deletion for who watches it, and so for its cache.
	n.Kubectl("label", "configmap", "one", "watched-")
	next("delete one=2")
	if keys := informer.GetStore().ListKeys(); len(keys) != 1 || keys[0] != "default/three" {
		t.Errorf("the informer's cache has %v, want default/three", keys)
	}
}
