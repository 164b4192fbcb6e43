package main

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// apiClients is how many clients ask at once.
const apiClients = 16

// server answers what the API is measured by.
type server interface {
	writer
	get(ctx context.Context, i int) error
	list(ctx context.Context) error // all objects
}

// measureAPI compares requests to covey's API with the same asked of etcd alone, which is below what any API server on etcd can
// reach.
func measureAPI(ctx context.Context, opts options) error {
	fmt.Printf("\n| API, %d clients | p50 | requests/s |\n| --- | --- | --- |\n", apiClients)
	e, err := newEtcd(ctx, opts, "etcd-api")
	if err != nil {
		return err
	}
	if e != nil {
		err := measureServer(ctx, opts, "etcd alone", &etcdWriter{etcd: e, revisions: map[int]int64{}})
		if err := errors.Join(err, e.stop()); err != nil {
			return err
		}
	}
	n, err := newNode(ctx, opts, "api")
	if err != nil {
		return err
	}
	err = measureServer(ctx, opts, "covey", &coveyWriter{node: n, pods: map[int]*corev1.Pod{}})
	return errors.Join(err, n.stop())
}

func measureServer(ctx context.Context, opts options, name string, s server) error {
	for i := range objects {
		if err := s.create(ctx, i); err != nil {
			return err
		}
	}
	for _, kind := range []struct {
		name string
		do   func(ctx context.Context, c, n int) error
	}{
		{"get of a pod", func(ctx context.Context, c, n int) error { return s.get(ctx, (n*apiClients+c)%objects) }},
		{fmt.Sprintf("list of %d pods", objects), func(ctx context.Context, _, _ int) error { return s.list(ctx) }},
		{"create of a pod", func(ctx context.Context, c, n int) error { return s.create(ctx, objects+n*apiClients+c) }},
	} {
		r, err := drive(ctx, apiClients, opts.load, kind.do)
		if err != nil {
			return err
		}
		fmt.Printf("| %s: %s | %.2f ms | %.0f |\n", name, kind.name, r.p50.Seconds()*1e3, r.rate())
	}
	return nil
}

func (w *coveyWriter) get(ctx context.Context, i int) error {
	_, err := w.clients.CoreV1().Pods("default").Get(ctx, examplePod(i).Name, metav1.GetOptions{})
	return err
}

func (w *coveyWriter) list(ctx context.Context) error {
	_, err := w.clients.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	return err
}

// get decodes the object, as covey's client does.
func (w *etcdWriter) get(ctx context.Context, i int) error {
	answer, err := w.client.Get(ctx, registry+examplePod(i).Name)
	if err != nil {
		return err
	}
	return decode(answer)
}

func (w *etcdWriter) list(ctx context.Context) error {
	answer, err := w.client.Get(ctx, registry, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	return decode(answer)
}

func decode(answer *clientv3.GetResponse) error {
	for _, kv := range answer.Kvs {
		if err := new(corev1.Pod).Unmarshal(kv.Value); err != nil {
			return err
		}
	}
	return nil
}
