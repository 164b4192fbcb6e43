package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"covey.dev/covey/api"
)

// busyNodes each have one container, c of pod p, that uses half a core, and move their clock a second with each reading.
type busyNodes struct {
	mu  sync.Mutex
	now time.Duration
}

func (b *busyNodes) Handler(node string) (http.Handler, error) {
	if node == "lost" {
		return nil, fmt.Errorf("node %q cannot be reached", node)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics/resource" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.now += time.Second
		at := (time.Duration(1_700_000_000)*time.Second + b.now).Milliseconds()
		_, _ = fmt.Fprintf(w, `container_cpu_usage_seconds_total{container="c",namespace="default",pod="p"} %v %d
container_memory_working_set_bytes{container="c",namespace="default",pod="p"} 1048576 %d
node_cpu_usage_seconds_total %v %d
node_memory_working_set_bytes 2097152 %d
`, b.now.Seconds()/2, at, at, b.now.Seconds(), at, at)
	}), nil
}

func TestMetrics(t *testing.T) {
	s := start(t, func(c *api.Config) { c.Nodes = &busyNodes{} })
	for _, node := range []string{"n1", "lost"} {
		s.must(http.StatusCreated, "POST", "/api/v1/nodes", `{"metadata":{"name":"`+node+`","labels":{"node":"`+node+`"}}}`)
	}
	for name, node := range map[string]string{"p": "n1", "other": "n1", "far": "lost", "waiting": ""} {
		s.must(http.StatusCreated, "POST", pods, `{"metadata":{"name":"`+name+`","labels":{"pod":"`+name+`"}},"spec":{"nodeName":"`+node+`","containers":[{"name":"c","image":"i"}]}}`)
	}
	const group = "/apis/metrics.k8s.io/v1beta1"
	nodes := s.must(http.StatusOK, "GET", group+"/nodes", "")
	s.expect(nodes, "NodeMetricsList", "kind")
	s.expect(nodes, "n1", "items", 0, "metadata", "labels", "node") // the lost one is left out
	if items := at(nodes, "items").([]any); len(items) != 1 {
		t.Errorf("%d nodes", len(items))
	}
	s.expect(nodes, "1", "items", 0, "usage", "cpu")
	s.expect(nodes, "2Mi", "items", 0, "usage", "memory")
	s.expect(nodes, "1s", "items", 0, "window")
	list := s.must(http.StatusOK, "GET", group+"/namespaces/default/pods", "")
	if items := at(list, "items").([]any); len(items) != 1 {
		t.Errorf("%d pods", len(items))
	}
	s.expect(list, "c", "items", 0, "containers", 0, "name")
	s.expect(list, "500m", "items", 0, "containers", 0, "usage", "cpu")
	s.expect(list, "1Mi", "items", 0, "containers", 0, "usage", "memory")
	for query, want := range map[string]int{"?labelSelector=pod%3Dp": 1, "?labelSelector=pod%3Dq": 0, "?fieldSelector=spec.nodeName%3Dn1": 1, "?fieldSelector=metadata.name%3Dother": 0} {
		out := s.must(http.StatusOK, "GET", group+"/pods"+query, "")
		if items := at(out, "items").([]any); len(items) != want {
			t.Errorf("%s: %d pods, want %d", query, len(items), want)
		}
	}
	one := s.must(http.StatusOK, "GET", group+"/namespaces/default/pods/p", "")
	s.expect(one, "PodMetrics", "kind")
	s.expect(one, "metrics.k8s.io/v1beta1", "apiVersion")
	table := s.must(http.StatusOK, "GET", group+"/namespaces/default/pods", "", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io")
	s.expect(table, "[p 500m 1Mi 1s]", "rows", 0, "cells")
	missing := s.must(http.StatusNotFound, "GET", group+"/namespaces/default/pods/far", "")
	s.expect(missing, `podmetrics.metrics.k8s.io "default/far" not found`, "message")
	s.must(http.StatusNotFound, "GET", group+"/nodes/none", "")
	s.must(http.StatusMethodNotAllowed, "POST", group+"/nodes", "{}")
	s.must(http.StatusMethodNotAllowed, "GET", group+"/nodes?watch=1", "")
	protobuf := s.do("GET", group+"/nodes", "", "Accept: application/vnd.kubernetes.protobuf")
	if protobuf.code != http.StatusOK || !strings.HasPrefix(string(protobuf.body), "k8s\x00") {
		t.Errorf("%d %q", protobuf.code, protobuf.body)
	}
	discovered := s.must(http.StatusOK, "GET", group, "")
	s.expect(discovered, "NodeMetrics", "resources", 0, "kind")
	s.expect(discovered, "[get list]", "resources", 1, "verbs")
}
