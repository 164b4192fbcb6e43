package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/metrics"
	"covey.dev/covey/scheduler/autoscaler"
	"covey.dev/covey/store"
)

// handler answers servers: about this node's pods, and what they pass on that clients asked this node itself.
func (w *worker) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", w.agent.Handler())
	mux.Handle(metrics.Path, metrics.New(workerMeasured{w}, w.log))
	mux.HandleFunc("POST "+LeavePath, w.leaveHandler)
	return mux
}

func (w *worker) leaveHandler(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), leaveTimeout)
	defer cancel()
	if err := w.depart(ctx, w.goodbye); err != nil {
		http.Error(rw, "leave the cluster: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintln(rw, "{}")
	w.log.Info("the node has left the cluster")
	go w.endPassed()
}

// answersTime bounds how long a worker that has left goes on for the sake of clients that it passes on.
const answersTime = 3 * time.Second

// endPassed ends this node when the clients that it passes on are done, among them the one who had it leave and waits for the answer.
func (w *worker) endPassed() {
	for began := time.Now(); w.passing.Load() > 0 && time.Since(began) < answersTime; {
		time.Sleep(leaveRetry)
	}
	w.end(ErrLeft)
}

// goodbye has the leader, which one of the servers is, delete the Node object.
func (w *worker) goodbye(ctx context.Context) (err error) {
	for {
		servers, _ := w.servers()
		for _, server := range servers {
			if err = w.peers.Leave(ctx, server, w.identity.NodeID()); err == nil {
				return nil
			}
		}
		if !sleep(ctx, leaveRetry) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// workerMeasured is a worker as its metrics see it; it implements metrics.Source.
type workerMeasured struct{ worker *worker }

func (m workerMeasured) NodeName() string { return m.worker.cfg.Name }

func (m workerMeasured) Version() string { return m.worker.cfg.Version }

func (m workerMeasured) Snapshot() *store.Snapshot { return m.worker.checkpoint.Snapshot() }

func (m workerMeasured) Leads() bool { return false }

func (m workerMeasured) Gossip() gossip.Counts { return m.worker.gossip.Counts() }

func (m workerMeasured) Resources() []string { return resources() }

func (m workerMeasured) Autoscalers() []autoscaler.Observation { return nil }

func (m workerMeasured) Usage(ctx context.Context) (*agent.Measured, error) {
	return m.worker.agent.Measure(ctx)
}

func (m workerMeasured) Servers() []store.Member { return nil }

func (m workerMeasured) Contact(string) time.Time { return time.Time{} }
