// Generate writes docs/metrics.md from the definitions of package metrics.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"covey.dev/covey/node/metrics"
)

func main() {
	if err := os.WriteFile(os.Args[1], []byte(page()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const head = `# Metrics

Each node serves its metrics under ` + "`https://NODE:7443/metrics`" + `, to administrators, in Prometheus' text format or as OpenMetrics.
Nothing is measured between scrapes but counters. What is the cluster's rather than a node's is told by the leader alone, so that all nodes can be
scraped and nothing counts twice. [examples/monitoring](../examples/monitoring) has a scrape configuration and a dashboard.

This page is made from the code (` + "`go generate ./node/metrics`" + `). There are also Go's and the process' own metrics (` + "`go_*`, `process_*`" + `).

| metric | type | labels | what | served by |
| --- | --- | --- | --- | --- |
`

func page() string {
	var b strings.Builder
	b.WriteString(head)
	row := func(name, kind string, labels []string, help, where string) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), help, where)
	}
	request := []string{"verb", "group", "version", "resource", "subresource"}
	row(metrics.RequestsTotal, "counter", append(request[:5:5], "code"), metrics.RequestsTotalHelp, "every node")
	row(metrics.RequestsTiming, "histogram", request, metrics.RequestsTimingHelp, "every node")
	row(metrics.AttemptsTotal, "counter", []string{"result"}, metrics.AttemptsTotalHelp, "the leader")
	row(metrics.RoundTiming, "histogram", nil, metrics.RoundTimingHelp, "the leader")
	for _, d := range metrics.Definitions() {
		kind := "gauge"
		if d.Type == prometheus.CounterValue {
			kind = "counter"
		}
		row(d.Name, kind, d.Labels, d.Help, d.Where)
	}
	return b.String()
}
