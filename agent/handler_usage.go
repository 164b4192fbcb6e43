package agent

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/sync/errgroup"

	"covey.dev/covey/agent/requests"
	"covey.dev/covey/agent/serve"
	"covey.dev/covey/agent/usage"
)

// usageRoutes answer what the node and its containers use.
func (a *Agent) usageRoutes(r *mux.Router) {
	r.HandleFunc("/metrics/resource", a.serveUsage).Methods(http.MethodGet)
}

func (a *Agent) serveUsage(w http.ResponseWriter, r *http.Request) {
	node, err := a.readUsage(r.Context(), usage.Machine())
	if err != nil {
		serve.Error(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	node.Pods = a.askPods(r.Context(), r.URL.Query()["pod"])
	if err := node.WriteText(w); err != nil {
		a.Logger.Debug("metrics were cut short", "error", err)
	}
}

// askAtOnce is how many pods are asked for their requests at a time.
const askAtOnce = 16

// askPods asks pods, named namespace/name, for their requests. Those that don't answer are left out.
func (a *Agent) askPods(ctx context.Context, names []string) []usage.Pod {
	if len(names) == 0 {
		return nil
	}
	var mu sync.Mutex
	var out []usage.Pod
	var g errgroup.Group
	g.SetLimit(askAtOnce)
	for _, w := range a.active(func(w *worker) bool { return slices.Contains(names, w.ref.Namespace+"/"+w.ref.Name) }) {
		g.Go(func() error {
			pod := w.currentPod()
			counts, err := requests.Ask(ctx, pod, pod.Status.PodIP)
			if err != nil {
				a.Logger.Debug("ask a pod for its requests", "pod", pod.Namespace+"/"+pod.Name, "err", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, usage.Pod{Namespace: pod.Namespace, Name: pod.Name, Requests: counts.Total, InFlight: counts.InFlight, At: time.Now()})
			return nil
		})
	}
	_ = g.Wait() // no question fails
	return out
}

// readUsage reads the use of the node and of all containers that run.
func (a *Agent) readUsage(ctx context.Context, from usage.Reader) (*usage.Node, error) {
	containers, err := a.runtime.List(ctx)
	if err != nil {
		return nil, err
	}
	out := &usage.Node{}
	for i := range containers {
		c := &containers[i]
		if c.State != StateRunning {
			continue
		}
		use, err := from.Cgroup(filepath.Join(a.cgroup(c.Pod.UID), c.ID))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it ended just now
		}
		if err != nil {
			a.Logger.Debug("read what a container uses", "container", c.ID, "error", err)
			out.Failed = true
			continue
		}
		out.Containers = append(out.Containers, usage.Container{
			Namespace: c.Pod.Namespace, Pod: c.Pod.Name, Name: c.Name, Started: c.StartedAt, Use: use, At: time.Now(),
		})
	}
	slices.SortFunc(out.Containers, func(a, b usage.Container) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Name, b.Name))
	})
	out.Use, err = from.Node()
	out.At = time.Now()
	return out, err
}
