package api_test

import (
	"fmt"
	"net/http"
	"testing"
)

func BenchmarkGet(b *testing.B) {
	s := start(b)
	s.must(http.StatusCreated, "POST", deployments, manifest("d"))
	for b.Loop() {
		s.do("GET", deployments+"/d", "")
	}
}

func BenchmarkApply(b *testing.B) {
	s := start(b)
	for i := 0; b.Loop(); i++ {
		s.do("PATCH", fmt.Sprintf("%s/d%d?fieldManager=m", deployments, i), manifest(fmt.Sprintf("d%d", i)), "Content-Type: application/apply-patch+yaml")
	}
}

func BenchmarkCreatePod(b *testing.B) {
	s := start(b)
	for i := 0; b.Loop(); i++ {
		s.must(http.StatusCreated, "POST", pods, fmt.Sprintf(benchPod, i))
	}
}

const benchPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d","labels":{"app":"web"}},"spec":{"schedulerName":"none",
	"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80,"name":"http"}],
	"env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],
	"resources":{"requests":{"cpu":"100m"}},"readinessProbe":{"httpGet":{"path":"/","port":"http"}}}]}}`

func BenchmarkList1000(b *testing.B) {
	s := start(b)
	for i := range 1000 {
		s.must(http.StatusCreated, "POST", pods, fmt.Sprintf(benchPod, i))
	}
	for b.Loop() {
		s.do("GET", pods, "", "Accept: application/vnd.kubernetes.protobuf", "Accept-Encoding: gzip")
	}
}
