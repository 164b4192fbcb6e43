package main

import (
	"context"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// writer is a place that pods are written to.
type writer interface {
	pid() int
	create(ctx context.Context, i int) error
	update(ctx context.Context, i, n int) error // n differs from update to update
}

// measureWrites compares what a write costs covey and etcd on the same disk, with the same objects and as many clients.
func measureWrites(ctx context.Context, opts options) error {
	fmt.Printf("\n| writes of a 1.5 kB pod | clients | writes/s | p50 | bytes written each | fsyncs each |\n| --- | --- | --- | --- | --- | --- |\n")
	e, err := newEtcd(ctx, opts, "etcd")
	if err != nil {
		return err
	}
	if e != nil {
		err := measureWriter(ctx, opts, "etcd", &etcdWriter{etcd: e, revisions: map[int]int64{}})
		if stopErr := e.stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			return err
		}
	}
	n, err := newNode(ctx, opts, "writes")
	if err != nil {
		return err
	}
	err = measureWriter(ctx, opts, "covey", &coveyWriter{node: n, pods: map[int]*corev1.Pod{}})
	if stopErr := n.stop(); err == nil {
		err = stopErr
	}
	return err
}

func measureWriter(ctx context.Context, opts options, name string, w writer) error {
	for i := range objects {
		if err := w.create(ctx, i); err != nil {
			return err
		}
	}
	created := objects
	for _, kind := range []string{"create", "update"} {
		for _, clients := range []int{1, 16, 64} {
			// Each client has objects of its own: no one changes what another has read.
			do := func(ctx context.Context, c, n int) error { return w.update(ctx, c+n%(objects/clients)*clients, n) }
			if kind == "create" {
				first := created
				do = func(ctx context.Context, c, n int) error { return w.create(ctx, first+n*clients+c) }
				created += 1 << 20
			}
			before := settled(w.pid())
			r, err := drive(ctx, clients, opts.load, do)
			if err != nil {
				return err
			}
			bytes := settled(w.pid()) - before
			var counted int
			first := created
			if kind == "create" {
				do = func(ctx context.Context, c, n int) error { return w.create(ctx, first+n*clients+c) }
				created += 1 << 20
			}
			synced, err := syncs(w.pid(), opts.dir, func() error {
				r, err := drive(ctx, clients, opts.load/2, do)
				counted = r.count
				return err
			})
			if err != nil {
				return err
			}
			fmt.Printf("| %s, %s | %d | %.0f | %.2f ms | %.1f kB | %.2f |\n", name, kind, clients, r.rate(), r.p50.Seconds()*1e3,
				float64(bytes)/float64(r.count)/1e3, float64(synced)/float64(counted))
		}
	}
	return nil
}

// coveyWriter writes through the API.
type coveyWriter struct {
	*node
	mu   sync.Mutex
	pods map[int]*corev1.Pod // as last answered
}

func (w *coveyWriter) create(ctx context.Context, i int) error {
	p, err := w.clients.CoreV1().Pods("default").Create(ctx, examplePod(i), metav1.CreateOptions{})
	if err == nil && i < objects {
		w.mu.Lock()
		w.pods[i] = p
		w.mu.Unlock()
	}
	return err
}

func (w *coveyWriter) update(ctx context.Context, i, n int) error {
	w.mu.Lock()
	p := w.pods[i]
	w.mu.Unlock()
	p.Annotations["n"] = fmt.Sprintf("%09d", n+1)
	p, err := w.clients.CoreV1().Pods("default").Update(ctx, p, metav1.UpdateOptions{})
	if err == nil {
		w.mu.Lock()
		w.pods[i] = p
		w.mu.Unlock()
	}
	return err
}

// registry is where the pods are in etcd.
const registry = "/registry/pods/default/"

// etcdWriter writes as Kubernetes' API server does: a transaction that compares the revision.
type etcdWriter struct {
	*etcd
	mu        sync.Mutex
	revisions map[int]int64
}

func (w *etcdWriter) create(ctx context.Context, i int) error { return w.put(ctx, i, examplePod(i)) }

func (w *etcdWriter) update(ctx context.Context, i, n int) error {
	p := examplePod(i)
	p.Annotations["n"] = fmt.Sprintf("%09d", n+1)
	return w.put(ctx, i, p)
}

func (w *etcdWriter) put(ctx context.Context, i int, p *corev1.Pod) error {
	raw, err := p.Marshal()
	if err != nil {
		return err
	}
	w.mu.Lock()
	revision := w.revisions[i]
	w.mu.Unlock()
	key := registry + p.Name
	answer, err := w.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, string(raw))).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return fmt.Errorf("%s changed meanwhile", key)
	}
	w.mu.Lock()
	w.revisions[i] = answer.Header.Revision
	w.mu.Unlock()
	return nil
}
