package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// counts counts requests, for Prometheus and for autoscalers.
type counts struct{ answered, inFlight atomic.Int64 }

// of counts what a handler answers.
func (c *counts) of(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.inFlight.Add(1)
		defer func() {
			c.inFlight.Add(-1)
			c.answered.Add(1)
		}()
		h(w, r)
	}
}

// ServeHTTP tells the counts in Prometheus' text format.
func (c *counts) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# HELP http_requests_total Requests that were answered\n# TYPE http_requests_total counter\nhttp_requests_total %d\n", c.answered.Load())
	fmt.Fprintf(w, "# HELP http_requests_in_flight Requests that are being answered\n# TYPE http_requests_in_flight gauge\nhttp_requests_in_flight %d\n", c.inFlight.Load())
}
