package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"

	"covey.dev/covey/e2e/harness"
)

// scrapeConfigs is what of Prometheus' configuration says where to scrape.
type scrapeConfigs struct {
	ScrapeConfigs []struct {
		JobName     string                 `yaml:"job_name"`
		Discoveries []*kubernetes.SDConfig `yaml:"kubernetes_sd_configs"`
		Relabel     []*relabel.Config      `yaml:"relabel_configs"`
	} `yaml:"scrape_configs"`
}

// TestPrometheusDiscoversAsInKubernetes runs Prometheus' own Kubernetes discovery, which Debian's build has not, with the example's
// prometheus.yml: it comes to the node and to the pod that asks for it, where they are.
func TestPrometheusDiscoversAsInKubernetes(t *testing.T) {
	t.Parallel()
	n := harness.Start(t)
	example, dir := filepath.Join(harness.Repository(), "examples/monitoring"), t.TempDir()
	if out, err := exec.Command(filepath.Join(example, "credentials.sh"), n.Kubeconfig(), dir).CombinedOutput(); err != nil {
		t.Fatalf("credentials.sh: %v\n%s", err, out)
	}
	redirect(t, filepath.Join(dir, "covey.kubeconfig"), n.Forward())
	file, err := os.ReadFile(filepath.Join(example, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config scrapeConfigs
	if err := yaml.Unmarshal(file, &config); err != nil || len(config.ScrapeConfigs) != 2 {
		t.Fatalf("prometheus.yml: %v, %d jobs", err, len(config.ScrapeConfigs))
	}
	found := &discovered{addresses: map[string]map[string][]string{}}
	for _, job := range config.ScrapeConfigs {
		for _, rule := range job.Relabel {
			if err := rule.Validate(model.UTF8Validation); err != nil {
				t.Fatal(err)
			}
		}
		for _, sd := range job.Discoveries {
			sd.SetDirectory(dir)
			found.follow(t, job.JobName, sd, job.Relabel)
		}
	}
	n.Eventually(func() error { return found.has("covey-nodes", "127.0.0.1:7443") })
	n.Kubectl("apply", "-f", filepath.Join(harness.Repository(), "examples", "hello", "hello.yaml"))
	pod := n.Pod("app=hello", harness.Ready)
	n.Eventually(func() error { return found.has("covey-pods", pod.Status.PodIP+":5000") })
	n.Kubectl("delete", "deployment", "hello")
	n.Eventually(func() error { return found.has("covey-pods") })
}

// redirect has a kubeconfig name another address.
func redirect(t *testing.T, kubeconfig, address string) {
	t.Helper()
	text, err := os.ReadFile(kubeconfig)
	if err == nil {
		err = os.WriteFile(kubeconfig, []byte(strings.ReplaceAll(string(text), harness.Address, address)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// discovered is what is to be scraped: addresses by job and by where they were found.
type discovered struct {
	mu        sync.Mutex
	addresses map[string]map[string][]string
}

// follow takes in what one job finds, until the test ends.
func (d *discovered) follow(t *testing.T, job string, sd *kubernetes.SDConfig, rules []*relabel.Config) {
	t.Helper()
	registry := prometheus.NewRegistry()
	finder, err := sd.NewDiscoverer(discovery.DiscovererOptions{
		Logger: slog.New(slog.DiscardHandler), Metrics: sd.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	groups := make(chan []*targetgroup.Group)
	var running sync.WaitGroup
	running.Go(func() { finder.Run(ctx, groups) })
	running.Go(func() {
		for {
			select {
			case news := <-groups:
				d.take(job, news, rules)
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func (d *discovered) take(job string, news []*targetgroup.Group, rules []*relabel.Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.addresses[job] == nil {
		d.addresses[job] = map[string][]string{}
	}
	for _, group := range news {
		d.addresses[job][group.Source] = nil
		for _, target := range group.Targets {
			b := labels.NewBuilder(labels.EmptyLabels())
			for name, value := range group.Labels.Merge(target) {
				b.Set(string(name), string(value))
			}
			if relabel.ProcessBuilder(b, rules...) {
				d.addresses[job][group.Source] = append(d.addresses[job][group.Source], b.Get("__address__"))
			}
		}
	}
}

// has is an error unless a job has found these addresses, each of them once or, a pod being found by each of its ports, more often.
func (d *discovered) has(job string, want ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var is []string
	for addresses := range maps.Values(d.addresses[job]) {
		is = append(is, addresses...)
	}
	slices.Sort(is)
	if is = slices.Compact(is); !slices.Equal(is, want) {
		return fmt.Errorf("%s: %v, want %v", job, is, want)
	}
	return nil
}
