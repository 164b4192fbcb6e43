package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

const (
	autoscalersV1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
	autoscalersV2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
	events        = "/api/v1/namespaces/default/events"
	eventsV1      = "/apis/events.k8s.io/v1/namespaces/default/events"
)

// contains looks for pieces of JSON, with their keys in alphabetical order, in an answer.
func contains(t *testing.T, what string, answer any, words ...string) {
	t.Helper()
	raw, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s has no %s:\n%s", what, word, text)
		}
	}
}

// TestTwoVersionsOfAnAutoscaler: what is written in one version is read in the other, and nothing is lost by a write in the
// version that has no field for it.
func TestTwoVersionsOfAnAutoscaler(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", autoscalersV1, `{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"a"},
		"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"a"},"maxReplicas":5,"targetCPUUtilizationPercentage":60}}`)
	contains(t, "v2", s.must(http.StatusOK, "GET", autoscalersV2+"/a", ""),
		`"apiVersion":"autoscaling/v2"`, `"metrics":[{"resource":{"name":"cpu","target":{"averageUtilization":60,"type":"Utilization"}},"type":"Resource"}]`, `"minReplicas":1`)
	contains(t, "the list of v1", s.must(http.StatusOK, "GET", autoscalersV1, ""), `"kind":"HorizontalPodAutoscalerList"`, `"apiVersion":"autoscaling/v1"`, `"targetCPUUtilizationPercentage":60`)
	contains(t, "the table of v1", s.must(http.StatusOK, "GET", autoscalersV1, "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"), `cpu: \u003cunknown\u003e/60%`)

	s.must(http.StatusCreated, "POST", autoscalersV2, `{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"b"},
		"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"b"},"maxReplicas":5,
		"metrics":[{"type":"Resource","resource":{"name":"memory","target":{"type":"Utilization","averageUtilization":70}}}],
		"behavior":{"scaleDown":{"stabilizationWindowSeconds":7}}}}`)
	contains(t, "v1", s.must(http.StatusOK, "GET", autoscalersV1+"/b", ""), `autoscaling.alpha.kubernetes.io/metrics`, `autoscaling.alpha.kubernetes.io/behavior`)
	s.must(http.StatusOK, "PATCH", autoscalersV1+"/b", `{"spec":{"maxReplicas":9}}`, "Content-Type: application/merge-patch+json")
	contains(t, "v2 after a patch of v1", s.must(http.StatusOK, "GET", autoscalersV2+"/b", ""),
		`"maxReplicas":9`, `"name":"memory"`, `"averageUtilization":70`, `"stabilizationWindowSeconds":7`, `"generation":2`)
	contains(t, "an apply of v1", s.must(http.StatusOK, "PATCH", autoscalersV1+"/b?fieldManager=m&force=true",
		`{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"b"},"spec":{"maxReplicas":8}}`,
		"Content-Type: application/apply-patch+yaml"), `"maxReplicas":8`, `"manager":"m","operation":"Apply"`)

	contains(t, "a broken annotation", s.must(http.StatusBadRequest, "PATCH", autoscalersV1+"/b",
		`{"metadata":{"annotations":{"autoscaling.alpha.kubernetes.io/metrics":"{"}}}`, "Content-Type: application/merge-patch+json"), "unexpected end of JSON")
	contains(t, "none as the least", s.must(http.StatusOK, "PATCH", autoscalersV1+"/a", `{"spec":{"minReplicas":0}}`, "Content-Type: application/merge-patch+json"), `"minReplicas":0`)
	contains(t, "a wrong alpha", s.must(http.StatusUnprocessableEntity, "PATCH", autoscalersV2+"/a",
		`{"metadata":{"annotations":{"covey.dev/ewma-alpha":"1.5"}}}`, "Content-Type: application/merge-patch+json"), "must be a number from 0 to 1")
	contains(t, "an external metric", s.must(http.StatusUnprocessableEntity, "PATCH", autoscalersV2+"/a",
		`{"spec":{"metrics":[{"type":"External","external":{"metric":{"name":"q"},"target":{"type":"Value","value":"1"}}}]}}`,
		"Content-Type: application/merge-patch+json"), "Resource, ContainerResource and Pods metrics only")
	contains(t, "discovery", s.must(http.StatusOK, "GET", "/apis/autoscaling", ""), `"preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"}`)
	contains(t, "the deletion", s.must(http.StatusOK, "DELETE", autoscalersV1+"/b", ""), `"status":"Success"`)
	s.must(http.StatusNotFound, "GET", autoscalersV2+"/b", "")
}

// TestTwoVersionsOfAnEvent: there is one store of events, in the words of both groups.
func TestTwoVersionsOfAnEvent(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", events, `{"apiVersion":"v1","kind":"Event","metadata":{"name":"old"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},
		"reason":"Started","message":"it started","type":"Normal","source":{"component":"agent"},"count":3}`)
	contains(t, "events.k8s.io", s.must(http.StatusOK, "GET", eventsV1+"/old", ""),
		`"apiVersion":"events.k8s.io/v1"`, `"note":"it started"`, `"regarding":{"kind":"Pod"`, `"deprecatedCount":3`, `"deprecatedSource":{"component":"agent"}`)
	s.must(http.StatusCreated, "POST", eventsV1, `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"new"},"eventTime":"2026-01-01T00:00:00.000000Z",
		"reportingController":"example.com/c","reportingInstance":"c-1","action":"Doing","reason":"Done","note":"it is done","type":"Normal",
		"regarding":{"kind":"Pod","namespace":"default","name":"p"}}`)
	contains(t, "the core's", s.must(http.StatusOK, "GET", events+"/new", ""), `"message":"it is done"`, `"involvedObject":{"kind":"Pod"`, `"reportingComponent":"example.com/c"`)
	contains(t, "an incomplete one", s.must(http.StatusUnprocessableEntity, "POST", eventsV1, `{"metadata":{"name":"bad"},"note":"x"}`), "eventTime", "type")
	list := s.must(http.StatusOK, "GET", eventsV1+"?fieldSelector=regarding.name%3Dp,reason%3DDone", "")
	contains(t, "the selection", list, `"name":"new"`)
	if items := list["items"].([]any); len(items) != 1 {
		t.Errorf("%d events are selected", len(items))
	}
	s.must(http.StatusBadRequest, "GET", eventsV1+"?fieldSelector=involvedObject.name%3Dp", "")
}
