package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/store"
)

// register is the node's registration that could not be written yet.
type register struct {
	wake chan struct{} // holds one: there is one to write

	mu      sync.Mutex
	waiting *corev1.Node // the newest; nil: none
	once    sync.Once
	done    chan struct{} // closed when the node is registered, or goes on by itself
}

func newRegister() register {
	return register{wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Registered is closed when the node is registered, or goes on with what was known last because the cluster cannot be asked.
func (u *Upstream) Registered() <-chan struct{} { return u.register.done }

// Register implements agent.Upstream. When the cluster cannot be asked it returns the object as it was known last, and the node is
// registered later; so it is while an earlier call's object waits for that, which the newer one takes the place of.
func (u *Upstream) Register(ctx context.Context, node *corev1.Node) (*corev1.Node, error) {
	r := &u.register
	known, ok := store.Get[*corev1.Node](u.source.Snapshot(), store.Key{Resource: "nodes", Name: node.Name})
	ok = ok && known.Spec.PodCIDR != "" // one without a network for pods, as a witness has none, has to wait for one
	if ok && r.replace(node) {
		return known, nil
	}
	asked, cancel := context.WithTimeout(ctx, u.patience)
	defer cancel()
	stored, err := u.writer.Register(asked, node)
	if err == nil {
		r.put(nil)
		r.once.Do(func() { close(r.done) })
		return stored, nil
	}
	if ctx.Err() != nil || !errors.Is(asked.Err(), context.DeadlineExceeded) || !ok {
		return nil, err
	}
	u.log.Warn("the cluster cannot be asked: the node goes on with what it knew last, and registers later", "node", node.Name, "error", err)
	r.put(node)
	r.once.Do(func() { close(r.done) })
	return known, nil
}

// Alone says that the node goes on with what was known last: it is to be registered later.
func (u *Upstream) Alone() bool { return u.register.newest() != nil }

func (r *register) put(node *corev1.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = node
	if node != nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// replace has node be written instead of one that waits, if one does.
func (r *register) replace(node *corev1.Node) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		return false
	}
	r.waiting = node
	return true
}

func (r *register) newest() *corev1.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting
}

// written reports whether node is still the newest, and then forgets it.
func (r *register) written(node *corev1.Node) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != node {
		return false
	}
	r.waiting = nil
	return true
}

const registerRetry = time.Second

// registerLater registers the node once the cluster can be asked again, until ctx ends.
func (u *Upstream) registerLater(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.register.wake:
		}
		for node := u.register.newest(); node != nil; node = u.register.newest() {
			_, err := u.writer.Register(ctx, node)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				u.log.Warn("the node is not registered yet", "node", node.Name, "error", err)
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(registerRetry):
				}
			case u.register.written(node):
				u.log.Info("the cluster can be asked again: the node is registered", "node", node.Name)
			}
		}
	}
}
