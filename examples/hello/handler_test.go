package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	srv := httptest.NewServer(newHandler("shop"))
	defer srv.Close()
	tests := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/", "", 200, "shop is up\n"},
		{"GET", "/api/shop", "", 200, "Hello, shop!"},
		{"POST", "/api/shop", `{"a": [1, 2]}`, 200, `Received data: {"a":[1,2]}`},
		{"POST", "/api/shop", `{"a": `, 400, ""},
		{"POST", "/api/shop", "", 400, ""},
		{"POST", "/api/shop", `"` + strings.Repeat("x", maxBody) + `"`, 400, ""},
		{"GET", "/api/other", "", 404, ""},
		{"DELETE", "/api/shop", "", 405, ""},
		{"GET", "/metrics", "", 200, "# HELP http_requests_total Requests that were answered\n# TYPE http_requests_total counter\nhttp_requests_total 5\n" +
			"# HELP http_requests_in_flight Requests that are being answered\n# TYPE http_requests_in_flight gauge\nhttp_requests_in_flight 0\n"},
	}
	for _, tt := range tests {
		req, err := http.NewRequest(tt.method, srv.URL+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status || (tt.want != "" && string(body) != tt.want) {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.path, resp.StatusCode, body, tt.status, tt.want)
		}
	}
}
