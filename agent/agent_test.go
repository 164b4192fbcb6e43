package agent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/eviction"
	"covey.dev/covey/agent/network"
	"covey.dev/covey/agent/runtimetest"
)

// cluster is an Upstream in memory.
type cluster struct {
	mu      sync.Mutex
	node    *corev1.Node
	nodes   []*corev1.Node         // that are followed
	pods    map[string]*corev1.Pod // by UID
	maps    map[string]*corev1.ConfigMap
	secrets map[string]*corev1.Secret
	events  []string
	unready map[string]int // statuses that said not ready, by UID
	tooSoon []string       // pods that were said to have ended while they ran
	cutOff  bool           // no status is stored
	// revision counts what was written.
	revision uint64
	// configChanged is what a running agent follows ConfigMaps with.
	configChanged func(namespace, name string)
	changed       chan struct{} // closed and replaced at each change
}

func newCluster() *cluster {
	return &cluster{pods: map[string]*corev1.Pod{}, unready: map[string]int{}, maps: map[string]*corev1.ConfigMap{}, secrets: map[string]*corev1.Secret{}, changed: make(chan struct{})}
}

func (c *cluster) change(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Register keeps the pod CIDR of a node that it knows.
func (c *cluster) Register(_ context.Context, node *corev1.Node) (*corev1.Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.node != nil {
		node.Spec = c.node.Spec
	}
	c.node = node
	return node, nil
}

func (c *cluster) Follow(ctx context.Context, node string, update func([]*corev1.Pod, bool)) error {
	for {
		c.mu.Lock()
		changed := c.changed
		var pods []*corev1.Pod
		for _, pod := range c.pods {
			if pod.Spec.NodeName == node {
				pods = append(pods, pod)
			}
		}
		c.mu.Unlock()
		update(pods, true)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (c *cluster) WriteStatus(_ context.Context, updates []agent.PodStatus) (revision uint64, err error) {
	c.change(func() {
		if c.cutOff {
			err = errors.New("the cluster does not answer")
			return
		}
		c.revision++
		revision = c.revision
		for _, up := range updates {
			if pod, ok := c.pods[up.Pod.UID]; ok {
				pod = pod.DeepCopy()
				pod.Status, pod.ResourceVersion = up.Status, strconv.FormatUint(c.revision, 10)
				if !isReady(pod) {
					c.unready[up.Pod.UID]++
				}
				if runsThoughEnded(&up.Status) {
					c.tooSoon = append(c.tooSoon, pod.Name)
				}
				c.pods[up.Pod.UID] = pod
			}
		}
	})
	return revision, err
}

// runsThoughEnded holds for a pod in whose place another is started though it still runs.
func runsThoughEnded(s *corev1.PodStatus) bool {
	return (s.Phase == corev1.PodFailed || s.Phase == corev1.PodSucceeded) &&
		slices.ContainsFunc(slices.Concat(s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses),
			func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
}

func (c *cluster) Remove(_ context.Context, ref agent.PodRef) error {
	c.change(func() { delete(c.pods, ref.UID) })
	return nil
}

func (c *cluster) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cm, ok := c.maps[name]; ok {
		return cm, nil
	}
	return nil, fmt.Errorf("configmap %q %w", name, agent.ErrNotFound)
}

func (c *cluster) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.secrets[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("secret %q %w", name, agent.ErrNotFound)
}

func (c *cluster) FollowConfig(ctx context.Context, changed func(namespace, name string)) error {
	c.mu.Lock()
	c.configChanged = changed
	c.mu.Unlock()
	changed("", "")
	<-ctx.Done()
	return nil
}

func (c *cluster) Event(_ agent.PodRef, _, reason, message, _ string) {
	c.change(func() { c.events = append(c.events, reason+": "+message) })
}

func (c *cluster) NodeEvent(_, _, reason, message string) {
	c.change(func() { c.events = append(c.events, "node "+reason+": "+message) })
}

// fixture is an agent on the fake runtime with the machine's real namespaces and network.
type fixture struct {
	t       *testing.T
	cluster *cluster
	runtime *runtimetest.Fake
	cfg     agent.Config
	agent   *agent.Agent
	stop    func()
}

func setup(t *testing.T, change ...func(*fixture)) *fixture {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	f := &fixture{t: t, cluster: newCluster(), runtime: runtimetest.NewFake()}
	t.Cleanup(f.runtime.Close)
	t.Cleanup(func() {
		if len(f.cluster.tooSoon) > 0 {
			t.Errorf("said to have ended while they ran: %q", f.cluster.tooSoon)
		}
	})
	f.runtime.AddImage(runtimetest.FakeImage{Image: agent.Image{Ref: "docker.io/library/app:1"}})
	state, err := os.MkdirTemp("", "cv")
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("%08x", time.Now().UnixNano()&0xffffffff)
	f.cfg = agent.Config{
		NodeName: "n1", InstanceID: id,
		Addresses: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")} },
		DataDir:   t.TempDir(), StateDir: state, Logger: slog.New(slog.DiscardHandler), RegistryConfig: t.TempDir(),
		Observe: func() (eviction.Observation, error) { return eviction.Observation{}, nil },
	}
	t.Cleanup(func() {
		if err := errors.Join(network.Teardown(id), os.RemoveAll(state)); err != nil {
			t.Error(err)
		}
	})
	for _, c := range change {
		c(f)
	}
	f.start()
	return f
}

// timeStandsStill for the agent: no back-off is ever over.
func timeStandsStill(f *fixture) {
	now := time.Now()
	f.cfg.Now = func() time.Time { return now }
}

func (f *fixture) start() {
	f.t.Helper()
	a, err := agent.New(f.cfg, f.runtime, f.cluster)
	if err != nil {
		f.t.Fatal(err)
	}
	f.agent = a
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	f.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				f.t.Errorf("Run returned %v", err)
			}
		})
	}
	f.t.Cleanup(f.stop)
}

// await waits until the pod, nil when it is gone, is as wanted.
func (f *fixture) await(uid types.UID, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	f.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		f.cluster.mu.Lock()
		pod, changed := f.cluster.pods[string(uid)], f.cluster.changed
		f.cluster.mu.Unlock()
		if ok(pod) {
			return pod
		}
		select {
		case <-changed:
		case <-deadline:
			f.t.Fatalf("the pod was not %s: %+v\nevents: %q", what, pod.Status, f.cluster.events)
		}
	}
}

func (f *fixture) add(pod *corev1.Pod) types.UID {
	f.cluster.change(func() { f.cluster.pods[string(pod.UID)] = pod })
	return pod.UID
}

func (f *fixture) edit(uid types.UID, change func(*corev1.Pod)) {
	f.cluster.change(func() {
		pod := f.cluster.pods[string(uid)].DeepCopy()
		change(pod)
		f.cluster.pods[string(uid)] = pod
	})
}

func (f *fixture) remove(uid types.UID, grace int64) {
	f.edit(uid, func(p *corev1.Pod) {
		at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	})
	f.await(uid, "removed", gone)
}

func newPod(name string, command ...string) *corev1.Pod {
	grace := int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: uuid.NewUUID()},
		Spec: corev1.PodSpec{
			NodeName: "n1", RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "c", Image: "app:1", Command: command, ImagePullPolicy: corev1.PullIfNotPresent}},
		},
	}
}

func gone(p *corev1.Pod) bool { return p == nil }

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func restarted(times int32) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].RestartCount == times && s[0].State.Running != nil
	}
}

func (f *fixture) containers() []agent.Container {
	list, err := f.runtime.List(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

func TestAPodRunsAndIsRemovedWithoutATrace(t *testing.T) {
	f := setup(t)
	uid := f.add(newPod("a", "sleep"))
	pod := f.await(uid, "ready", isReady)
	if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
		t.Errorf("phase %s, address %q", pod.Status.Phase, pod.Status.PodIP)
	}
	f.remove(uid, 1)
	f.stop()
	if list := f.containers(); len(list) != 0 {
		t.Errorf("containers are left: %+v", list)
	}
	for _, dir := range []string{filepath.Join(f.cfg.DataDir, "pods"), filepath.Join(f.cfg.StateDir, "pods")} {
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("%s is not empty: %v", dir, entries)
		}
	}
}

func TestARestartedAgentTakesUpWhatRuns(t *testing.T) {
	f := setup(t)
	uid := f.add(newPod("a", "sleep"))
	before := f.await(uid, "ready", isReady)
	f.stop()
	f.cluster.unready[string(uid)] = 0
	f.start()
	other := f.add(newPod("b", "sleep")) // its start shows that the new agent is at work
	f.await(other, "ready", isReady)
	f.await(uid, "ready still", isReady)
	list := f.containers()
	count := 0
	for _, c := range list {
		if c.Pod.UID == string(uid) {
			count++
		}
	}
	after := f.await(uid, "there", func(p *corev1.Pod) bool { return p != nil })
	if count != 1 || after.Status.PodIP != before.Status.PodIP || after.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("%d containers, address %s (was %s), %d restarts", count, after.Status.PodIP, before.Status.PodIP, after.Status.ContainerStatuses[0].RestartCount)
	}
	f.cluster.mu.Lock()
	if n := f.cluster.unready[string(uid)]; n > 0 {
		t.Errorf("the pod was called not ready %d times", n)
	}
	f.cluster.mu.Unlock()
	f.remove(uid, 1)
	f.remove(other, 1)
}

func TestWhatIsLeftOfAForgottenPodIsRemoved(t *testing.T) {
	f := setup(t)
	uid := f.add(newPod("a", "sleep"))
	f.await(uid, "ready", isReady)
	f.stop()
	f.cluster.change(func() { delete(f.cluster.pods, string(uid)) })
	f.start()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(f.containers()) > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("containers are left: %+v", f.containers())
		}
	}
}

func TestADeadContainerIsRestarted(t *testing.T) {
	f := setup(t)
	uid := f.add(newPod("a", "sleep"))
	f.await(uid, "ready", isReady)
	if err := f.runtime.Signal(context.Background(), f.containers()[0].ID, 9); err != nil {
		t.Fatal(err)
	}
	pod := f.await(uid, "restarted", restarted(1))
	if end := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated; end == nil || end.ExitCode != 137 || end.Reason != "Error" {
		t.Errorf("last state %+v, want exit code 137", end)
	}
	f.remove(uid, 1)
}

func TestAMissingConfigMapIsSaidAndThenFound(t *testing.T) {
	f := setup(t)
	p := newPod("a", "sleep")
	p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
	uid := f.add(p)
	f.await(uid, "refused", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	f.cluster.change(func() { f.cluster.maps["settings"] = &corev1.ConfigMap{Data: map[string]string{"A": "1"}} })
	f.await(uid, "ready", isReady)
	f.remove(uid, 1)
}

func TestInitContainersComeFirstAndJobsEnd(t *testing.T) {
	f := setup(t)
	p := newPod("a", "exit", "0")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "app:1", Command: []string{"exit", "0"}}}
	uid := f.add(p)
	done := f.await(uid, "succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	first, second := done.Status.InitContainerStatuses[0].State.Terminated, done.Status.ContainerStatuses[0].State.Terminated
	if first == nil || second == nil || second.StartedAt.Before(&first.FinishedAt) {
		t.Errorf("init %+v, main %+v", first, second)
	}
	f.remove(uid, 0)
}

func TestAFailingInitContainerFailsAPodThatNeverRestarts(t *testing.T) {
	f := setup(t)
	p := newPod("a", "sleep")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "app:1", Command: []string{"exit", "3"}}}
	uid := f.add(p)
	f.await(uid, "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	f.remove(uid, 0)
}

func TestTwoPodsHaveTheirOwnAddresses(t *testing.T) {
	f := setup(t)
	a, b := f.add(newPod("a", "sleep")), f.add(newPod("b", "sleep"))
	first, second := f.await(a, "ready", isReady), f.await(b, "ready", isReady)
	if first.Status.PodIP == second.Status.PodIP {
		t.Errorf("both have %s", first.Status.PodIP)
	}
	f.remove(a, 1)
	f.remove(b, 1)
}

func (c *cluster) FollowNodes(ctx context.Context, update func([]*corev1.Node)) error {
	for {
		c.mu.Lock()
		nodes, changed := c.nodes, c.changed
		c.mu.Unlock()
		update(nodes)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
