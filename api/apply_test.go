package api_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestServerSideApply(t *testing.T) {
	s := start(t)
	apply := func(code int, manager, body string) map[string]any {
		t.Helper()
		return s.must(code, "PATCH", deployments+"/d?fieldManager="+manager, body, "Content-Type: application/apply-patch+yaml")
	}
	created := apply(http.StatusCreated, "one", manifest("d"))
	s.expect(created, "Apply", "metadata", "managedFields", 0, "operation")
	again := apply(http.StatusOK, "one", manifest("d"))
	s.expect(again, at(created, "metadata", "resourceVersion"), "metadata", "resourceVersion")

	two := "apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: 3\n"
	refused := apply(http.StatusConflict, "two", two)
	s.expect(refused, "FieldManagerConflict", "details", "causes", 0, "reason")
	s.expect(refused, ".spec.replicas", "details", "causes", 0, "field")
	out := apply(http.StatusOK, "two&force=true", two)
	s.expect(out, 3, "spec", "replicas")

	// What its only owner no longer applies goes away.
	out = apply(http.StatusOK, "three", "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  labels:\n    x: z\n")
	s.expect(out, "z", "metadata", "labels", "x")
	out = apply(http.StatusOK, "three", "apiVersion: apps/v1\nkind: Deployment\n")
	s.expect(out, nil, "metadata", "labels", "x")
	s.expect(out, "d", "metadata", "labels", "app")

	for body, want := range map[string]string{
		"apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicaz: 3\n":                ".spec.replicaz: field not declared in schema",
		"apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: many\n":             "expected numeric",
		"apiVersion: apps/v1\nkind: Pod\n":                                             "invalid object type",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: e\n":                "does not match the name on the URL",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  managedFields:\n  - {}\n": "metadata.managedFields must be nil",
		"apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: 1\n  replicas: 2\n": "already set in map",
		"apiVersion: apps/v1\nkind: Deployment\nspec: [\n":                             "error decoding YAML",
		"- a\n": "error decoding YAML",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: x\n":                              "metadata",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  namespace: elsewhere\nspec: {": "error decoding YAML",
	} {
		status := apply(http.StatusBadRequest, "one&fieldValidation=Strict", body)
		if message, _ := at(status, "message").(string); !strings.Contains(message, want) {
			t.Errorf("%q: %q, want it to say %q", body, message, want)
		}
	}
	status := s.must(http.StatusUnprocessableEntity, "PATCH", deployments+"/d", two, "Content-Type: application/apply-patch+yaml")
	s.expect(status, `PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch`, "message")
}

func TestFieldValidation(t *testing.T) {
	s := start(t)
	body := strings.Replace(manifest("d"), `"replicas":1`, `"replicas":1,"foo":1,"replicas":1`, 1)
	status := s.must(http.StatusBadRequest, "POST", deployments+"?fieldValidation=Strict", body)
	s.expect(status, `Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.foo", duplicate field "spec.replicas"`, "message")
	a := s.do("POST", deployments+"?fieldValidation=Warn&dryRun=All", body)
	warnings := strings.Join(a.header.Values("Warning"), "\n")
	if a.code != http.StatusCreated || !strings.Contains(warnings, `299 - "unknown field \"spec.foo\""`) || !strings.Contains(warnings, `299 - "duplicate field \"spec.replicas\""`) {
		t.Errorf("warn: %d, %s", a.code, warnings)
	}
	a = s.do("POST", deployments+"?fieldValidation=Ignore&dryRun=All", body)
	if strings.Contains(strings.Join(a.header.Values("Warning"), "\n"), "spec.foo") || a.code != http.StatusCreated {
		t.Errorf("ignore: %d, %v", a.code, a.header)
	}
	s.must(http.StatusUnprocessableEntity, "POST", deployments+"?fieldValidation=Sometimes", body)
}
