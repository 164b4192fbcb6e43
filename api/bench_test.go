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
