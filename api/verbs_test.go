package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

func TestClientGo(t *testing.T) {
	for name, protobuf := range map[string]bool{"json": false, "protobuf": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			maps := s.client(protobuf).CoreV1().ConfigMaps("default")
			ctx := t.Context()
			created, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(created.Name, "a-") || len(created.Name) != 7 || created.UID == "" || created.ResourceVersion == "" || created.CreationTimestamp.IsZero() {
				t.Errorf("created without its metadata: %+v", created.ObjectMeta)
			}
			if m := created.ManagedFields; len(m) != 1 || m[0].Manager != "tester" || m[0].Operation != metav1.ManagedFieldsOperationUpdate {
				t.Errorf("managed fields %+v, want one entry of tester", m)
			}
			if _, err := maps.Create(ctx, configMap(created.Name, nil), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
				t.Errorf("second create: %v, want AlreadyExists", err)
			}
			stale := created.DeepCopy()
			created.Data["k"] = "w"
			updated, err := maps.Update(ctx, created, metav1.UpdateOptions{})
			if err != nil || updated.ResourceVersion == stale.ResourceVersion || updated.Data["k"] != "w" {
				t.Fatalf("update: %v, %+v", err, updated)
			}
			if _, err := maps.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Errorf("update of a stale object: %v, want Conflict", err)
			}
			again, err := maps.Update(ctx, updated, metav1.UpdateOptions{})
			if err != nil || again.ResourceVersion != updated.ResourceVersion {
				t.Errorf("an update that changes nothing: %v, revision %s, want %s", err, again.ResourceVersion, updated.ResourceVersion)
			}
			list, err := maps.List(ctx, metav1.ListOptions{})
			if err != nil || len(list.Items) != 1 || list.Items[0].Data["k"] != "w" || list.ResourceVersion == "" {
				t.Errorf("list: %v, %+v", err, list)
			}
			if err := maps.Delete(ctx, created.Name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
			if _, err := maps.Get(ctx, created.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("get after delete: %v, want NotFound", err)
			}
		})
	}
}

// No update is lost when many write the same object.
func TestConcurrentUpdates(t *testing.T) {
	s := start(t)
	maps := s.client(true).CoreV1().ConfigMaps("default")
	if _, err := maps.Create(t.Context(), configMap("n", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				key := fmt.Sprintf("w%d-%d", w, i)
				err := retry.OnError(retry.DefaultBackoff, apierrors.IsConflict, func() error {
					obj, err := maps.Get(t.Context(), "n", metav1.GetOptions{})
					if err != nil {
						return err
					}
					if obj.Data == nil {
						obj.Data = map[string]string{}
					}
					obj.Data[key] = ""
					_, err = maps.Update(t.Context(), obj, metav1.UpdateOptions{})
					return err
				})
				if apierrors.IsConflict(err) { // retry has given up
					_, err = maps.Patch(t.Context(), "n", "application/merge-patch+json", []byte(`{"data":{"`+key+`":""}}`), metav1.PatchOptions{})
				}
				if err != nil {
					t.Errorf("%s: %v", key, err)
				}
			}
		})
	}
	wg.Wait()
	obj, err := maps.Get(t.Context(), "n", metav1.GetOptions{})
	if err != nil || len(obj.Data) != writers*each {
		t.Errorf("%v; %d keys, want %d", err, len(obj.Data), writers*each)
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", configMaps+"?dryRun=All", `{"metadata":{"name":"a"}}`)
	s.must(http.StatusNotFound, "GET", configMaps+"/a", "")
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"}}`)
	out := s.must(http.StatusOK, "PATCH", configMaps+"/a?dryRun=All", `{"data":{"k":"v"}}`, "Content-Type: application/merge-patch+json")
	s.expect(out, "v", "data", "k")
	s.must(http.StatusOK, "DELETE", configMaps+"/a?dryRun=All", "")
	s.expect(s.must(http.StatusOK, "GET", configMaps+"/a", ""), nil, "data")
}

func TestPatches(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", deployments, manifest("d"))
	for _, c := range []struct {
		typ, body string
		code      int
		path      []any
		want      any
	}{
		{"merge-patch", `{"spec":{"replicas":2}}`, 200, []any{"spec", "replicas"}, 2},
		{"json-patch", `[{"op":"replace","path":"/spec/replicas","value":3}]`, 200, []any{"spec", "replicas"}, 3},
		{"strategic-merge-patch", `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i:2"}]}}}}`, 200,
			[]any{"spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"}, 5000},
		{"json-patch", `[{"op":"test","path":"/spec/replicas","value":9}]`, 422, []any{"reason"}, "Invalid"},
		{"json-patch", `{}`, 400, []any{"reason"}, "BadRequest"},
		{"merge-patch", `[`, 400, []any{"reason"}, "BadRequest"},
		{"merge-patch", `{"spec":{"replicas":"x"}}`, 422, []any{"details", "causes", 0, "field"}, "patch"},
		{"merge-patch", `{"spec":{"replicas":-1}}`, 422, []any{"details", "causes", 0, "field"}, "spec.replicas"},
		{"merge-patch", `{"metadata":{"name":"e"}}`, 400, []any{"reason"}, "BadRequest"},
		{"merge-patch", `{"metadata":{"resourceVersion":"1"}}`, 409, []any{"reason"}, "Conflict"},
		{"merge-patch", `{"metadata":{"uid":"x"}}`, 409, []any{"reason"}, "Conflict"},
		{"cbor", ``, 415, []any{"reason"}, "UnsupportedMediaType"},
	} {
		out := s.must(c.code, "PATCH", deployments+"/d", c.body, "Content-Type: application/"+c.typ+"+json")
		if got := at(out, c.path...); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s %s: %v is %v, want %v", c.typ, c.body, c.path, got, c.want)
		}
	}
	out := s.must(http.StatusOK, "GET", deployments+"/d", "")
	s.expect(out, "i:2", "spec", "template", "spec", "containers", 0, "image")
}

func TestStatusAndSpecAreApart(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", deployments, manifest("d"))
	merge := "Content-Type: application/merge-patch+json"
	out := s.must(http.StatusOK, "PATCH", deployments+"/d/status", `{"spec":{"replicas":7},"status":{"replicas":5}}`, merge)
	s.expect(out, 5, "status", "replicas")
	s.expect(out, 1, "spec", "replicas")
	out = s.must(http.StatusOK, "PATCH", deployments+"/d", `{"spec":{"replicas":2},"status":{"replicas":9}}`, merge)
	s.expect(out, 5, "status", "replicas")
	s.expect(out, 2, "spec", "replicas")
	s.expect(out, 2, "metadata", "generation")
}

func TestScale(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", deployments, manifest("d"))
	scales := s.client(true).AppsV1().Deployments("default")
	scale, err := scales.GetScale(t.Context(), "d", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 1 || scale.ResourceVersion == "" {
		t.Fatalf("%v, %+v", err, scale)
	}
	scale.Spec.Replicas = 4
	if scale, err = scales.UpdateScale(t.Context(), "d", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != 4 {
		t.Fatalf("%v, %+v", err, scale)
	}
	scale.ResourceVersion = "1"
	if _, err = scales.UpdateScale(t.Context(), "d", scale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a stale scale: %v, want Conflict", err)
	}
	out := s.must(http.StatusUnprocessableEntity, "PATCH", deployments+"/d/scale", `{"spec":{"replicas":-1}}`, "Content-Type: application/merge-patch+json")
	s.expect(out, "spec.replicas", "details", "causes", 0, "field")
	s.expect(s.must(http.StatusOK, "GET", deployments+"/d", ""), 4, "spec", "replicas")
}
