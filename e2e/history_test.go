package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	"covey.dev/covey/e2e/harness"
)

// written are the config maps that the tests of consistency write; no two values are the same.
const (
	written = "consistency"
	keys    = 5
)

// history is what the clients of one round asked for and were told. Each key is a config map, which holds a value or is not there.
type history struct {
	*testing.T
	nodes   []*harness.Node
	clients []kubernetes.Interface // one of each node
	round   int
	started time.Time
	values  atomic.Int64

	mu           sync.Mutex
	operations   []porcupine.Operation
	acknowledged map[uint64]string // value by revision, "" for a deletion
	lists        []listed
	unknown      int
}

// operation asks for a key's value, or to make new of old, where "" is that the object is not there.
type operation struct {
	key      string
	write    bool
	old, new string
}

// outcome says that a write was done; or that the old value was not there; or what was read; or that nobody knows.
type outcome struct {
	done, other, unknown bool
	value                string
}

// listed is a list: all values, at one revision.
type listed struct {
	revision uint64
	values   map[string]string
}

func newHistory(t *testing.T, nodes []*harness.Node, round int) *history {
	h := &history{T: t, nodes: nodes, round: round, started: time.Now(), acknowledged: map[uint64]string{}}
	for _, n := range nodes {
		h.clients = append(h.clients, currentOnly(t, n))
	}
	return h
}

// currentOnly are a node's clients, for whom an answer that warns of being old is none.
func currentOnly(t *testing.T, n *harness.Node) kubernetes.Interface {
	cfg := n.Config()
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return current{next} })
	clients, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

type current struct{ http.RoundTripper }

var errOld = errors.New("the node answers with what it knew last")

func (c current) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && strings.Contains(resp.Header.Get("Warning"), "no leader can be asked") {
		_ = resp.Body.Close()
		return nil, errOld
	}
	return resp, err
}

func (h *history) key(i int) string { return fmt.Sprintf("round-%d-key-%d", h.round, i) }

// run has clients on all nodes for a time, and makes faults.
func (h *history) run(length time.Duration, fault func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var clients sync.WaitGroup
	for i := range 2 * len(h.nodes) {
		clients.Go(func() { h.client(ctx, i) })
	}
	for ctx.Err() == nil {
		fault(ctx)
	}
	clients.Wait()
}

// settle reads everything from every node, and returns a revision behind all that was written.
func (h *history) settle() (last uint64) {
	for i, n := range h.nodes {
		n.Eventually(func() error {
			list, err := h.list(context.Background(), i, h.clients[i])
			last = max(last, list)
			return err
		})
	}
	return last
}

// client asks one node until ctx ends, one thing after another, at least a moment apart.
func (h *history) client(ctx context.Context, number int) {
	node := h.clients[number%len(h.nodes)]
	maps := node.CoreV1().ConfigMaps("default")
	known := map[string]*corev1.ConfigMap{}
	for ; ctx.Err() == nil; time.Sleep(rand.N(40 * time.Millisecond)) {
		if rand.IntN(8) == 0 {
			_, _ = h.list(ctx, number, node)
			continue
		}
		op := operation{key: h.key(rand.IntN(keys))}
		had := known[op.key]
		if op.write = rand.IntN(3) > 0; op.write {
			op.old = valueOf(had)
			if had == nil || rand.IntN(3) > 0 {
				op.new = fmt.Sprintf("%d-%d", h.round, h.values.Add(1))
			}
		}
		called := time.Since(h.started)
		got, err := try(maps, op, had)
		out := outcome{done: err == nil && op.write, value: valueOf(got)}
		returned := time.Since(h.started)
		switch {
		case apierrors.IsNotFound(err) && !op.write:
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
			out.other = true
		case err != nil && (!op.write || errors.Is(err, unix.ECONNREFUSED)):
			continue // it did not happen
		case err != nil:
			out.unknown, returned = true, time.Hour
		}
		h.add(number, op, out, called, returned, got)
		if delete(known, op.key); err == nil && (!op.write || op.new != "") {
			known[op.key] = got
		}
	}
}

// try does what op says; had is the object with op.old.
func try(maps typed.ConfigMapInterface, op operation, had *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second+rand.N(20*time.Second))
	defer cancel()
	next := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: op.key, Namespace: "default", Labels: map[string]string{"test": written}},
		Data:       map[string]string{"v": op.new},
	}
	switch {
	case !op.write:
		return maps.Get(ctx, op.key, metav1.GetOptions{})
	case had == nil:
		return maps.Create(ctx, next, metav1.CreateOptions{})
	case op.new == "":
		return nil, maps.Delete(ctx, op.key, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &had.ResourceVersion}})
	}
	next.ResourceVersion = had.ResourceVersion
	return maps.Update(ctx, next, metav1.UpdateOptions{})
}

func valueOf(m *corev1.ConfigMap) string {
	if m == nil {
		return ""
	}
	return m.Data["v"]
}

func (h *history) add(client int, op operation, out outcome, called, returned time.Duration, got *corev1.ConfigMap) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: client, Input: op, Output: out, Call: called.Nanoseconds(), Return: returned.Nanoseconds(),
	})
	if out.unknown {
		h.unknown++
	}
	if out.done && got != nil {
		h.acknowledged[revisionOf(got)] = op.new
	}
}

// list reads all keys at once.
func (h *history) list(ctx context.Context, client int, n kubernetes.Interface) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	called := time.Since(h.started)
	all, err := n.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{LabelSelector: "test=" + written})
	if err != nil {
		return 0, err
	}
	returned := time.Since(h.started)
	l := listed{values: map[string]string{}}
	if l.revision, err = strconv.ParseUint(all.ResourceVersion, 10, 64); err != nil {
		return 0, err
	}
	for _, m := range all.Items {
		l.values[m.Name] = valueOf(&m)
	}
	for i := range keys {
		h.add(client, operation{key: h.key(i)}, outcome{value: l.values[h.key(i)]}, called, returned, nil)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists = append(h.lists, l)
	return l.revision, nil
}

// check searches for an order in which one copy would have answered so.
func (h *history) check() {
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, op := range history {
				key := op.Input.(operation).key
				byKey[key] = append(byKey[key], op)
			}
			return slices.Collect(maps.Values(byKey))
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			return afterwards(state.(string), input.(operation), output.(outcome))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
	const patience = 2 * time.Minute
	result, info := porcupine.CheckOperationsVerbose(model, h.operations, patience)
	if result == porcupine.Ok {
		return
	}
	h.Errorf("the history of %d operations: %s", len(h.operations), result)
	if f, err := os.CreateTemp("", "history-*.html"); err == nil {
		h.Logf("see %s (%v, %v)", f.Name(), porcupine.Visualize(model, info, f), f.Close())
	}
}

// afterwards says whether a key with the value state may answer so, and which value it has then.
func afterwards(state string, op operation, out outcome) (bool, string) {
	switch {
	case out.done:
		return state == op.old, op.new
	case out.other:
		return state != op.old, state
	case !out.unknown:
		return state == out.value, state
	case state == op.old:
		return true, op.new // one that did not happen may stand behind all others
	}
	return true, state
}
