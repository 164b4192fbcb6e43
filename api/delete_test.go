package api_test

import (
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const merge = "Content-Type: application/merge-patch+json"

func TestDelete(t *testing.T) {
	s := start(t)
	s.must(http.StatusNotFound, "DELETE", configMaps+"/a", "")
	uid := at(s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"}}`), "metadata", "uid")
	s.must(http.StatusConflict, "DELETE", configMaps+"/a", `{"preconditions":{"uid":"other"}}`)
	s.must(http.StatusConflict, "DELETE", configMaps+"/a", `{"preconditions":{"resourceVersion":"1"}}`)
	s.must(http.StatusUnprocessableEntity, "DELETE", configMaps+"/a?propagationPolicy=Maybe", "")
	out := s.must(http.StatusOK, "DELETE", configMaps+"/a", `{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","propagationPolicy":"Background"}`)
	s.expect(out, "Success", "status")
	s.expect(out, uid, "details", "uid")
	s.must(http.StatusNotFound, "GET", configMaps+"/a", "")
}

func TestFinalizersHoldAnObject(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a","finalizers":["x.example/y"]}}`)
	out := s.must(http.StatusOK, "DELETE", configMaps+"/a", "")
	if at(out, "metadata", "deletionTimestamp") == nil {
		t.Errorf("not marked: %v", out)
	}
	again := s.must(http.StatusOK, "DELETE", configMaps+"/a", "")
	s.expect(again, at(out, "metadata", "resourceVersion"), "metadata", "resourceVersion")
	s.must(http.StatusOK, "PATCH", configMaps+"/a", `{"metadata":{"finalizers":null}}`, merge)
	s.must(http.StatusNotFound, "GET", configMaps+"/a", "")
}

func TestPropagation(t *testing.T) {
	s := start(t)
	for policy, want := range map[string]any{"Orphan": "orphan", "Foreground": "foregroundDeletion"} {
		s.must(http.StatusCreated, "POST", deployments, manifest("d"))
		code := http.StatusOK
		if policy == "Foreground" {
			code = http.StatusAccepted
		}
		out := s.must(code, "DELETE", deployments+"/d", `{"propagationPolicy":"`+policy+`"}`)
		s.expect(out, want, "metadata", "finalizers", 0)
		s.must(http.StatusOK, "PATCH", deployments+"/d", `{"metadata":{"finalizers":null}}`, merge)
		s.must(http.StatusNotFound, "GET", deployments+"/d", "")
	}
}

// A pod that runs is told to end and stays until its node says that it has.
func TestGracefulDeletion(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", pods, podOn("n1"))
	out := s.must(http.StatusOK, "DELETE", pods+"/p", "")
	s.expect(out, 30, "metadata", "deletionGracePeriodSeconds")
	longer := s.must(http.StatusOK, "DELETE", pods+"/p", `{"gracePeriodSeconds":60}`)
	s.expect(longer, 30, "metadata", "deletionGracePeriodSeconds")
	shorter := s.must(http.StatusOK, "DELETE", pods+"/p", `{"gracePeriodSeconds":5}`)
	s.expect(shorter, 5, "metadata", "deletionGracePeriodSeconds")
	gone := s.must(http.StatusOK, "DELETE", pods+"/p?gracePeriodSeconds=0", "")
	s.expect(gone, "Pod", "kind")
	s.must(http.StatusNotFound, "GET", pods+"/p", "")

	s.must(http.StatusCreated, "POST", pods, podOn(""))
	s.must(http.StatusOK, "DELETE", pods+"/p", "") // nobody runs it
	s.must(http.StatusNotFound, "GET", pods+"/p", "")
}

func podOn(node string) string {
	return `{"metadata":{"name":"p"},"spec":{"nodeName":"` + node + `","containers":[{"name":"a","image":"i"},{"name":"b","image":"i"}],"initContainers":[{"name":"c","image":"i"}]}}`
}

func TestDeleteCollection(t *testing.T) {
	s := start(t)
	for _, name := range []string{"a", "b", "c"} {
		s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"`+name+`","labels":{"keep":"`+map[bool]string{true: "yes", false: "no"}[name == "b"]+`"}}}`)
	}
	err := s.client(true).CoreV1().ConfigMaps("default").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "keep!=yes"})
	if err != nil {
		t.Fatal(err)
	}
	out := s.must(http.StatusOK, "GET", configMaps, "")
	s.expect(out, "b", "items", 0, "metadata", "name")
	s.expect(out, nil, "items", 1)
}

func TestNamespaceEnds(t *testing.T) {
	s := start(t)
	const ns = "/api/v1/namespaces/n"
	s.must(http.StatusNotFound, "POST", ns+"/configmaps", `{"metadata":{"name":"a"}}`)
	s.must(http.StatusCreated, "POST", "/api/v1/namespaces", `{"metadata":{"name":"n"}}`)
	s.must(http.StatusCreated, "POST", ns+"/configmaps", `{"metadata":{"name":"a"}}`)
	s.expect(s.must(http.StatusOK, "DELETE", ns, ""), "Terminating", "status", "phase")
	refused := s.must(http.StatusForbidden, "POST", ns+"/configmaps", `{"metadata":{"name":"b"}}`)
	s.expect(refused, `configmaps "b" is forbidden: unable to create new content in namespace n because it is being terminated`, "message")
	s.expect(refused, "NamespaceTerminating", "details", "causes", 0, "reason")
	s.must(http.StatusOK, "PUT", ns+"/finalize", `{"metadata":{"name":"n"},"spec":{"finalizers":[]}}`)
	s.must(http.StatusNotFound, "GET", ns, "")
	s.must(http.StatusForbidden, "DELETE", "/api/v1/namespaces/default", "")
}
