package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
)

// measurePods times pods, and weighs them.
func measurePods(ctx context.Context, opts options) error {
	n, err := newNode(ctx, opts, "pods")
	if err != nil {
		return err
	}
	defer func() { _ = n.stop() }()
	for _, image := range []string{"hello.tar", "busybox.tar"} {
		if err := n.load(image); err != nil {
			return err
		}
	}
	head()
	if err := n.measureOne(ctx, opts); err != nil {
		return err
	}
	if err := n.measureMany(ctx, opts); err != nil {
		return err
	}
	return n.measureMemory(ctx, opts)
}

func (n *node) measureOne(ctx context.Context, opts options) error {
	var took []time.Duration
	for i := range 2*opts.runs + 1 {
		begun := time.Now()
		d, err := n.time(ctx, deployment(fmt.Sprintf("one%d", i), 1, "hello:1.0"))
		if err != nil {
			return err
		}
		if i > 0 { // the first one reads what is not in memory yet
			took = append(took, d.Sub(begun))
		}
		if err := n.clear(ctx); err != nil {
			return err
		}
	}
	row(fmt.Sprintf("apply to Running on a watch, image present (median of %d)", len(took)), ms(median(took)), "under 80 ms",
		"Nomad 775 ms, Docker swarm 830 ms, containerd alone 37 to 50 ms")
	return nil
}

func (n *node) measureMany(ctx context.Context, opts options) error {
	var started, deleted []time.Duration
	for i := range max(1, opts.runs/2+1) {
		name := fmt.Sprintf("many%d", i)
		begun := time.Now()
		at, err := n.time(ctx, deployment(name, opts.pods, "hello:1.0"))
		if err != nil {
			return err
		}
		started = append(started, at.Sub(begun))
		if err := sleep(ctx, time.Second); err != nil { // until all of them heed SIGTERM
			return err
		}
		begun = time.Now()
		if err := n.clear(ctx); err != nil {
			return err
		}
		deleted = append(deleted, time.Since(begun))
	}
	row(fmt.Sprintf("%d replicas: apply to all Running (median of %d)", opts.pods, len(started)), ms(median(started)), "under 2500 ms",
		"Docker swarm 6000 ms for 20, containerd alone 1600 ms")
	row(fmt.Sprintf("delete of %d replicas to nothing left (median of %d)", opts.pods, len(deleted)), ms(median(deleted)), "under 3000 ms", "")
	return nil
}

func (n *node) measureMemory(ctx context.Context, opts options) error {
	if err := n.restart(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, 20*time.Second); err != nil { // until the start's memory is given back
		return err
	}
	before := pss(n.processes()...)
	d := deployment("weighed", opts.pods, "busybox:1")
	d.Spec.Template.Spec.Containers[0].Command = []string{"/bin/sleep", "100000"}
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64)
	if _, err := n.time(ctx, d); err != nil {
		return err
	}
	if err := sleep(ctx, 20*time.Second); err != nil {
		return err
	}
	pids := n.processes()
	added := pss(pids...) - before
	row(fmt.Sprintf("added Pss per pod (%d sleeping ones, in %d shims), the workload's own apart", opts.pods, len(pids)-1),
		fmt.Sprintf("%.2f MiB", float64(added)/(1<<20)/float64(opts.pods)), "under 0.7 MiB", "Nomad 28 MB, containerd alone 0.4 MB with one shim for all")
	return n.clear(ctx)
}

func deployment(name string, replicas int, image string) *appsv1.Deployment {
	count := int32(replicas)
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
			},
		},
	}
}

func probedDeployment(name string, replicas int) *appsv1.Deployment {
	d := deployment(name, replicas, "hello:1.0")
	d.Spec.Template.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 10, ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{Path: "/api/hello", Port: intstr.FromInt32(5000)}}}
	return d
}

func (n *node) deploy(ctx context.Context, d *appsv1.Deployment) error {
	_, err := n.clients.AppsV1().Deployments("default").Create(ctx, d, metav1.CreateOptions{})
	return err
}

// time creates a deployment and returns when a watch saw all of its pods running.
func (n *node) time(ctx context.Context, d *appsv1.Deployment) (time.Time, error) {
	seen := make(chan struct{})
	var at time.Time
	var err error
	w, err := n.watch(ctx, d.Name)
	if err != nil {
		return at, err
	}
	go func() {
		defer close(seen)
		at, err = count(ctx, w, int(*d.Spec.Replicas), running)
	}()
	if err := n.deploy(ctx, d); err != nil {
		w.Stop()
		return at, err
	}
	<-seen
	return at, err
}

// waitPods returns when as many pods of a deployment are as wanted.
func (n *node) waitPods(ctx context.Context, name string, many int, wanted func(*corev1.Pod) bool) (time.Time, error) {
	w, err := n.watch(ctx, name)
	if err != nil {
		return time.Time{}, err
	}
	return count(ctx, w, many, wanted)
}

func (n *node) watch(ctx context.Context, name string) (watch.Interface, error) {
	return n.clients.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
}

func running(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func count(ctx context.Context, w watch.Interface, many int, wanted func(*corev1.Pod) bool) (time.Time, error) {
	defer w.Stop()
	there := map[string]bool{}
	late := time.After(patience)
	for {
		select {
		case e, ok := <-w.ResultChan():
			p, isPod := e.Object.(*corev1.Pod)
			if !ok || !isPod {
				return time.Time{}, fmt.Errorf("the watch ended: %v", e.Object)
			}
			if wanted(p) {
				there[p.Name] = true
			}
			if len(there) == many {
				return time.Now(), nil
			}
		case <-late:
			return time.Time{}, errors.New("the pods do not get as they should")
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// clear deletes all deployments and returns when no pod and no shim is left.
func (n *node) clear(ctx context.Context) error {
	propagation := metav1.DeletePropagationBackground
	err := n.clients.AppsV1().Deployments("default").DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &propagation}, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		list, err := n.clients.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(list.Items) == 0 && len(n.processes()) == 1 {
			return nil
		}
	}
	return errors.New("pods or shims are left")
}
