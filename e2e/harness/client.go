package harness

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config is how client-go reaches the node from the tests' own namespace.
func (n *Node) Config() *rest.Config {
	n.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", n.Kubeconfig())
	if err != nil {
		n.t.Fatal(err)
	}
	cfg.Dial = n.net.dial
	cfg.QPS = -1
	return cfg
}

func (n *Node) connect() {
	n.t.Helper()
	if n.Clients != nil {
		return // client-go connects again by itself, as users' programs do
	}
	clients, err := kubernetes.NewForConfig(n.Config())
	if err != nil {
		n.t.Fatal(err)
	}
	n.Clients = clients
}

// Eventually waits until check returns nil, and fails the test with its last error if that takes too long.
func (n *Node) Eventually(check func() error) {
	n.t.Helper()
	n.Within(patience, check)
}

// Within is Eventually for what takes its time.
func (n *Node) Within(patience time.Duration, check func() error) {
	n.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("after %v: %v", patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Pod waits for the one pod of a selection to be as wanted, and returns it.
func (n *Node) Pod(selector string, wanted func(*corev1.Pod) error) *corev1.Pod {
	n.t.Helper()
	var found *corev1.Pod
	n.Eventually(func() error {
		pods, err := n.Pods(selector)
		if err != nil {
			return err
		}
		if len(pods) != 1 {
			return fmt.Errorf("%s: %d pods, want one", selector, len(pods))
		}
		found = &pods[0]
		if err := wanted(found); err != nil {
			return fmt.Errorf("pod %s: %w; its status: %s", found.Name, err, found.Status.String())
		}
		return nil
	})
	return found
}

// Pods lists the pods of namespace default by label.
func (n *Node) Pods(selector string) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := n.Clients.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Ready is what Pod waits for most often.
func Ready(p *corev1.Pod) error {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("not ready")
}

// Phase waits for a phase.
func Phase(phase corev1.PodPhase) func(*corev1.Pod) error {
	return func(p *corev1.Pod) error {
		if p.Status.Phase != phase {
			return fmt.Errorf("phase %s, want %s", p.Status.Phase, phase)
		}
		return nil
	}
}

// Restarts waits for the first container to run after so many restarts, no more and no fewer.
func Restarts(count int32) func(*corev1.Pod) error {
	return func(p *corev1.Pod) error {
		if err := Ready(p); err != nil {
			return err
		}
		if got := p.Status.ContainerStatuses[0].RestartCount; got != count {
			return fmt.Errorf("%d restarts, want %d", got, count)
		}
		return nil
	}
}

// Get asks a pod over HTTP, as a neighbour on its node would, and returns status and body.
func (n *Node) Get(url string) (int, string) {
	n.t.Helper()
	return n.answered(n.request(http.MethodGet, url, ""))
}

// Post sends JSON in the same way.
func (n *Node) Post(url, body string) (int, string) {
	n.t.Helper()
	return n.answered(n.request(http.MethodPost, url, body))
}

// Serves waits until a GET is answered with 200.
func (n *Node) Serves(url string) {
	n.t.Helper()
	n.Eventually(func() error {
		if code, body, err := n.request(http.MethodGet, url, ""); err != nil || code != http.StatusOK {
			return fmt.Errorf("GET %s: %d %s %w", url, code, body, err)
		}
		return nil
	})
}

// TryGet is Get from what may not listen yet.
func (n *Node) TryGet(url string) (string, error) {
	_, body, err := n.request(http.MethodGet, url, "")
	return body, err
}

func (n *Node) request(method, url, body string) (int, string, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: n.net.dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	return ask(client, method, url, "application/json", body)
}

// API sends a request to the node's API as its administrator, just as it is.
func (n *Node) API(method, path, contentType, body string) (int, string) {
	n.t.Helper()
	cfg := n.Config()
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	return n.answered(ask(client, method, cfg.Host+path, contentType, body))
}

func (n *Node) answered(code int, answer string, err error) (int, string) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
	return code, answer
}

func ask(client *http.Client, method, url, contentType, body string) (int, string, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// Processes are the machine's process IDs of a pod's containers, the oldest first.
func (n *Node) Processes(p *corev1.Pod) []int {
	n.t.Helper()
	var pids []int
	began := map[int]int{}
	for _, pid := range n.pids() {
		cgroup, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cgroup"))
		exe, _ := os.Readlink(filepath.Join("/proc", fmt.Sprint(pid), "exe"))
		if strings.Contains(string(cgroup), "/pod"+string(p.UID)+"/") && !strings.Contains(exe, "containerd-shim") {
			pids = append(pids, pid)
			began[pid] = startTime(pid)
		}
	}
	slices.SortFunc(pids, func(a, b int) int { return cmp.Or(cmp.Compare(began[a], began[b]), cmp.Compare(a, b)) })
	return pids
}

// startTime is when a process began, in clock ticks since the machine did; of one that has ended the greatest number. See proc_pid_stat(5).
func startTime(pid int) int {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return math.MaxInt
	}
	ticks, _ := strconv.Atoi(fields[19])
	return ticks
}

// Running are the process IDs of all containers that have been started, by the pod's UID and the container's ID.
func (n *Node) Running() map[string]map[string][]int {
	found := map[string]map[string][]int{}
	for _, pid := range n.pids() {
		cgroup, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cgroup"))
		_, path, ok := strings.Cut(string(cgroup), "/pod")
		exe, _ := os.Readlink(filepath.Join("/proc", fmt.Sprint(pid), "exe"))
		if !ok || exe == "" || strings.Contains(exe, "containerd-shim") || strings.Contains(exe, "runc") {
			continue // it ends just now, or is runc, about to become the container's process
		}
		uid, rest, _ := strings.Cut(path, "/")
		id, _, _ := strings.Cut(strings.SplitN(rest, "\n", 2)[0], "/")
		if found[uid] == nil {
			found[uid] = map[string][]int{}
		}
		found[uid][id] = append(found[uid][id], pid)
	}
	return found
}

// ReadableByOthers lists the regular files of the node that any user of the machine may open and read.
func (n *Node) ReadableByOthers() []string {
	n.t.Helper()
	var found []string
	for _, dir := range []string{n.DataDir, n.StateDir} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return nil // it went away meanwhile
			}
			info, err := d.Info()
			switch {
			case err != nil:
			case d.IsDir() && info.Mode().Perm()&0o001 == 0:
				return filepath.SkipDir
			case info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0:
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
	return found
}

// Shims are the machine's process IDs of the node's containerd shims.
func (n *Node) Shims() []int {
	n.t.Helper()
	var pids []int
	for _, pid := range n.pids() {
		exe, _ := os.Readlink(filepath.Join("/proc", fmt.Sprint(pid), "exe"))
		if strings.HasPrefix(exe, n.DataDir) && strings.HasSuffix(exe, "containerd-shim-runc-v2") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// SizeOf is how many bytes the files below a folder of the data directory have.
func (n *Node) SizeOf(folder string) int64 {
	n.t.Helper()
	var size int64
	err := filepath.WalkDir(filepath.Join(n.DataDir, folder), func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return size
}
