package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestPrometheusFindsTheCluster runs Prometheus with the example's configuration: it finds the nodes and the pods, whichever node it
// asks, and the dashboard's queries have answers.
func TestPrometheusFindsTheCluster(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 2)
	n := c.Nodes[1] // not the one that leads
	for _, each := range c.Nodes {
		each.LoadImages()
	}
	n.Kubectl("apply", "-f", filepath.Join(harness.Repository(), "examples", "hello", "hello.yaml"))
	n.Kubectl("scale", "deployment/hello", "--replicas=2")
	n.Kubectl("rollout", "status", "deployment/hello")
	n.Kubectl("autoscale", "deployment", "hello", "--min=2", "--max=3", "--cpu=90%")
	example := filepath.Join(harness.Repository(), "examples/monitoring")
	dir := t.TempDir()
	if out, err := exec.Command(filepath.Join(example, "credentials.sh"), n.Kubeconfig(), dir).CombinedOutput(); err != nil {
		t.Fatalf("credentials.sh: %v\n%s", err, out)
	}
	config, err := os.ReadFile(filepath.Join(example, "prometheus-http.yml"))
	if err != nil {
		t.Fatal(err)
	}
	often := strings.NewReplacer("scrape_interval: 15s", "scrape_interval: 1s", "refresh_interval: 30s", "refresh_interval: 1s").Replace(string(config))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(often), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Follow("/usr/bin/prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:9090", "--log.level=error")
	for _, query := range []string{
		`count(up{job="covey-nodes"} == 1) == 2`, `up{job="covey-nodes",node="node-1"} == 1`, `up{job="covey-nodes",node="node-2"} == 1`,
		`count(up{job="covey-pods",namespace="default"} == 1) == 2`, `sum(covey_raft_leader) == 1`,
		`covey_raft_contact_seconds < 60`, `min(covey_gossip_packets_total{direction="received"}) > 0`, `scheduler_schedule_attempts_total{result="scheduled"} >= 2`,
		`covey_scheduler_round_duration_seconds_count > 0`,
	} {
		n.Eventually(func() error { return answered(n, query) })
	}
	dashboard, err := os.ReadFile(filepath.Join(example, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(dashboard, &d); err != nil || len(d.Panels) == 0 {
		t.Fatalf("the dashboard: %v", err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			if strings.Contains(target.Expr, `result="failed"`) {
				continue // nothing fails
			}
			n.Eventually(func() error { return answered(n, target.Expr) })
		}
	}
}

var windows = regexp.MustCompile(`\[\d+[mh]\]`)

// answered is an error unless Prometheus has an answer to a query, in which windows of time are made short.
func answered(n *harness.Node, query string) error {
	query = windows.ReplaceAllString(query, "[10s]")
	body, err := n.TryGet("http://127.0.0.1:9090/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return err
	}
	var answer struct {
		Data struct{ Result []any }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if len(answer.Data.Result) == 0 {
		return fmt.Errorf("%s has no answer", query)
	}
	return nil
}

// TestMetricsAreForAdministrators: without a certificate there is nothing to read.
func TestMetricsAreForAdministrators(t *testing.T) {
	n := harness.Start(t)
	n.Kubectl("get", "pods")
	out := n.Kubectl("get", "--raw", "/metrics")
	for _, want := range []string{"apiserver_request_duration_seconds_bucket", "covey_raft_leader 1", `kube_node_status_condition{condition="Ready"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	server := strings.TrimSpace(n.Kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"))
	if r := n.Pipe("", "/usr/bin/curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", server+"/metrics"); r.Stdout != "401" {
		t.Errorf("without a certificate: %s%s", r.Stdout, r.Stderr)
	}
}
