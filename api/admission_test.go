package api_test

import (
	"net/http"
	"strings"
	"testing"
)

const classes = "/apis/scheduling.k8s.io/v1/priorityclasses"

// podOf is a pod with these fields in its spec.
func podOf(name, fields string) string {
	return `{"metadata":{"name":"` + name + `"},"spec":{` + fields + `"containers":[{"name":"c","image":"i"}]}}`
}

func TestPodsGetThePriorityOfTheirClass(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", classes, `{"metadata":{"name":"high"},"value":1000,"preemptionPolicy":"Never"}`)
	for _, c := range []struct {
		name, fields string
		code         int
		want         string
	}{
		{"plain", "", 201, `"priority":0`},
		{"named", `"priorityClassName":"high",`, 201, `"priority":1000`},
		{"policy", `"priorityClassName":"high",`, 201, `"preemptionPolicy":"Never"`},
		{"same", `"priorityClassName":"high","priority":1000,`, 201, `"priority":1000`},
		{"unknown", `"priorityClassName":"low",`, 403, `pods \"unknown\" is forbidden: no PriorityClass with name low was found`},
		{"other", `"priorityClassName":"high","priority":5,`, 403, "the integer value of priority (5) must not be provided in pod spec"},
		{"own", `"priority":5,`, 403, "priority admission controller computed 0"},
	} {
		if a := s.do("POST", pods, podOf(c.name, c.fields)); a.code != c.code || !strings.Contains(string(a.body), c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.name, a.code, a.body, c.code, c.want)
		}
	}

	s.must(http.StatusCreated, "POST", classes, `{"metadata":{"name":"usual"},"value":7,"globalDefault":true}`)
	if a := s.do("POST", pods, podOf("later", "")); !strings.Contains(string(a.body), `"priorityClassName":"usual","priority":7`) {
		t.Errorf("a pod without a class after there is a default one: %s", a.body)
	}
	if a := s.do("POST", classes, `{"metadata":{"name":"second"},"value":8,"globalDefault":true}`); a.code != http.StatusForbidden ||
		!strings.Contains(string(a.body), "PriorityClass usual is already marked as default") {
		t.Errorf("a second default class: %d %s", a.code, a.body)
	}
	// A manifest that does not say what admission filled in goes on working.
	named := strings.Replace(podOf("named", `"priorityClassName":"high",`), `"c","image":"i"`, `"c","image":"j"`, 1)
	if a := s.do("PATCH", pods+"/named", named, "Content-Type: application/merge-patch+json"); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestValueOfAPriorityClassStays(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", classes, `{"metadata":{"name":"high"},"value":1000}`)
	a := s.do("PATCH", classes+"/high", `{"value":1001}`, "Content-Type: application/merge-patch+json")
	if a.code != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), "value: ") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := s.do("POST", classes, `{"metadata":{"name":"system-mine"},"value":1}`); a.code != http.StatusUnprocessableEntity {
		t.Errorf("a name with the system's prefix: %d %s", a.code, a.body)
	}
}
