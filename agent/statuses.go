package agent

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// statuses sends what became of the pods upstream, those that changed together in one message.
type statuses struct {
	upstream Upstream
	log      *slog.Logger
	wake     chan struct{}

	mu      sync.Mutex
	pending map[string]PodStatus // by pod UID
	sent    map[string]sent      // what was stored last, or is being stored
	sending sync.Mutex
}

func newStatuses(up Upstream, log *slog.Logger) *statuses {
	return &statuses{
		upstream: up, log: log, wake: make(chan struct{}, 1),
		pending: map[string]PodStatus{}, sent: map[string]sent{},
	}
}

// sent is a status with the revision that has it; 0 while it is being stored.
type sent struct {
	status   corev1.PodStatus
	revision uint64
}

// replaced reports whether a pod was given another status since: by somebody else, or by a message of this node that was
// overtaken on its way, as when a link or covey itself failed while it was sent.
func (s *sent) replaced(pod *corev1.Pod) bool {
	seen, err := strconv.ParseUint(pod.ResourceVersion, 10, 64)
	return err == nil && s.revision > 0 && seen > s.revision && !equality.Semantic.DeepEqual(s.status, pod.Status)
}

// put takes the newest status of a pod, which is known as it was stored last; what says nothing new is not sent.
func (s *statuses) put(up PodStatus, pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.sent[up.Pod.UID]; ok && equality.Semantic.DeepEqual(last.status, up.Status) && !last.replaced(pod) {
		delete(s.pending, up.Pod.UID)
		return
	}
	s.pending[up.Pod.UID] = up
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// forget drops what is known of a pod that is gone.
func (s *statuses) forget(ref PodRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, ref.UID)
	delete(s.sent, ref.UID)
}

// flush sends what waits now, so that a pod's last status is stored before the pod is removed.
func (s *statuses) flush(ctx context.Context, ref PodRef) {
	s.mu.Lock()
	_, waits := s.pending[ref.UID]
	s.mu.Unlock()
	if waits {
		if err := s.send(ctx); err != nil {
			s.log.Debug("a pod's last status was not stored", "pod", ref, "error", err)
		}
	}
}

// run sends until ctx ends, again after a second when sending fails.
func (s *statuses) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		for s.send(ctx) != nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (s *statuses) send(ctx context.Context) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	batch := make([]PodStatus, 0, len(s.pending))
	for uid, up := range s.pending {
		batch = append(batch, up)
		s.sent[uid] = sent{status: up.Status}
	}
	clear(s.pending)
	s.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	revision, err := s.upstream.WriteStatus(ctx, batch)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the pods' statuses were not stored, trying again", "pods", len(batch), "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, up := range batch {
		if err == nil {
			if done, ok := s.sent[up.Pod.UID]; ok { // else the pod has gone meanwhile
				done.revision = revision
				s.sent[up.Pod.UID] = done
			}
			continue
		}
		delete(s.sent, up.Pod.UID)
		if _, newer := s.pending[up.Pod.UID]; !newer {
			s.pending[up.Pod.UID] = up
		}
	}
	return err
}
