package metrics

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSamplesOfManyNodes reads what 100 nodes with 100 containers each say, as an autoscaler does at each step.
func BenchmarkSamplesOfManyNodes(b *testing.B) {
	const nodes, containers, step = 100, 100, 5 * time.Second
	now, answers := time.UnixMilli(1_000_000), make([]string, nodes)
	c := New(func(name string) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			var i int
			_, _ = fmt.Sscan(name, &i)
			_, _ = w.Write([]byte(answers[i]))
		}), nil
	})
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		now = now.Add(step)
		for i := range answers {
			answers[i] = answer(i, containers, now)
		}
		b.StartTimer()
		began := processor(b)
		for i := range nodes {
			if _, err := c.Sample(b.Context(), fmt.Sprint(i), nil); err != nil {
				b.Fatal(err)
			}
		}
		used += processor(b) - began
	}
	b.ReportMetric(100*used.Seconds()/float64(b.N)/step.Seconds(), "%-of-a-core")
}

// answer is what a node says, in the order in which nodes say it.
func answer(node, containers int, now time.Time) string {
	var out strings.Builder
	for _, name := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_start_time_seconds"} {
		fmt.Fprintf(&out, "# HELP %s [STABLE] as it is\n# TYPE %s gauge\n", name, name)
		for i := range containers {
			value, at := float64(now.UnixMilli())/1e4, fmt.Sprintf(" %d", now.UnixMilli())
			if name == "container_start_time_seconds" {
				value, at = 5, ""
			}
			fmt.Fprintf(&out, "%s{container=\"web\",namespace=\"default\",pod=\"web-%d-%d\"} %v%s\n", name, node, i, value, at)
		}
	}
	fmt.Fprintf(&out, "node_cpu_usage_seconds_total %v %d\n", float64(now.UnixMilli())/1e3, now.UnixMilli())
	return out.String()
}

// processor is the time that this process has had of it, whatever else the machine does.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
