package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// maxBody is the longest JSON that is taken, in bytes.
const maxBody = 1 << 20

// newHandler serves / for probes, /metrics for Prometheus, and /api/<name> for users.
func newHandler(name string) http.Handler {
	counted := &counts{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s is up\n", name)
	})
	mux.Handle("GET /metrics", counted)
	mux.HandleFunc("GET /api/"+name, counted.of(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello, %s!", name)
	}))
	mux.HandleFunc("POST /api/"+name, counted.of(echo))
	return mux
}

func echo(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&raw); err != nil {
		http.Error(w, "the body is not JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		http.Error(w, "the body is not JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "Received data: %s", compact.Bytes())
}
