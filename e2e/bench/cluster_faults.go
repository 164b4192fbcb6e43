package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/e2e/harness"
)

// measureKills times how long no write is accepted when the leader is killed, and when its plug is pulled.
func (c *cluster) measureKills() {
	kills := c.leaderFaults(func(number int) { c.Nodes[number-1].Kill() })
	timed("kill -9 of the leader: last accepted write to the next, through a surviving node", kills, "under 1500 ms")
	cuts := c.leaderFaults(c.cutPower)
	timed("power cut of the leader: the same", cuts, "")
}

func (c *cluster) cutPower(number int) {
	c.Isolate(number)
	c.Nodes[number-1].PowerCut()
}

// leaderFaults times the gaps in the accepted writes that a fault of the leader makes.
func (c *cluster) leaderFaults(fault func(number int)) (gaps []time.Duration) {
	for range c.opts.runs {
		leader := c.leader()
		gaps = append(gaps, c.gap(c.Nodes[leader%servers], func() { fault(leader) }))
		c.Heal()
		c.Nodes[leader-1].Start()
		c.allReady()
	}
	return gaps
}

// accepted is when a write was asked for and when its answer came.
type accepted struct{ asked, at time.Time }

// gap is the longest time between two accepted writes around a fault.
func (c *cluster) gap(through *harness.Node, fault func()) (longest time.Duration) {
	ctx, stop := context.WithTimeout(c.ctx, patience)
	defer stop()
	writes, faulted := make(chan accepted), make(chan time.Time, 1)
	go write(ctx, through, writes)
	last := <-writes
	go func() {
		fault()
		faulted <- time.Now()
	}()
	var made time.Time
	for w := range writes {
		longest, last = max(longest, w.at.Sub(last.at)), w
		select {
		case made = <-faulted:
		default:
		}
		if !made.IsZero() && w.asked.After(made) {
			return longest
		}
	}
	c.Fatal("no write is accepted any more")
	return 0
}

// write changes a config map again and again until ctx ends, and says what was accepted.
func write(ctx context.Context, through *harness.Node, writes chan<- accepted) {
	defer close(writes)
	maps := through.Clients.CoreV1().ConfigMaps("default")
	_, _ = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "gap"}}, metav1.CreateOptions{}) // it may be there
	for i := 0; ctx.Err() == nil; i++ {
		patch := fmt.Appendf(nil, `{"data":{"i":"%d"}}`, i)
		asked := time.Now()
		if _, err := maps.Patch(ctx, "gap", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			continue
		}
		select {
		case writes <- accepted{asked, time.Now()}:
		case <-ctx.Done():
		}
	}
}

// measureDeaths times from a power cut to the readiness of what replaces the pods.
func (c *cluster) measureDeaths() {
	var took []time.Duration
	for i := range c.opts.runs {
		dead := 2 + i%(servers-1)
		name := fmt.Sprint("death", i)
		d := deployment(name, servers, "busybox:1")
		spec := &d.Spec.Template.Spec
		spec.Containers[0].Command = []string{"/bin/sleep", "100000"}
		spec.TerminationGracePeriodSeconds = new(int64)
		spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: d.Spec.Selector,
		}}
		_, err := c.Nodes[0].Clients.AppsV1().Deployments("default").Create(c.ctx, d, metav1.CreateOptions{})
		c.check(err)
		c.readyPods(name, "")
		c.cutPower(dead)
		begun := time.Now()
		took = append(took, c.readyPods(name, fmt.Sprint("node-", dead)).Sub(begun))
		c.Heal()
		c.Nodes[dead-1].Start()
		c.allReady()
		c.deletePods()
	}
	timed("power cut of a node to its pods replaced and ready, image present", took, "under 10 s")
}

// readyPods returns when all of a deployment's pods are ready, none of them on the node without.
func (c *cluster) readyPods(name, without string) time.Time {
	w, err := c.Nodes[0].Clients.CoreV1().Pods("default").Watch(c.ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	c.check(err)
	at, err := count(c.ctx, w, servers, func(p *corev1.Pod) bool { return ready(p) && p.Spec.NodeName != without })
	c.check(err)
	return at
}

func (c *cluster) deletePods() {
	propagation := metav1.DeletePropagationBackground
	clients := c.Nodes[0].Clients
	c.check(clients.AppsV1().Deployments("default").DeleteCollection(c.ctx, metav1.DeleteOptions{PropagationPolicy: &propagation}, metav1.ListOptions{}))
	c.Nodes[0].Eventually(func() error {
		pods, err := c.Nodes[0].Pods("")
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("%d pods are left", len(pods))
		}
		return err
	})
}

// allReady returns when all nodes are.
func (c *cluster) allReady() {
	c.Nodes[0].Eventually(func() error {
		nodes, err := c.Nodes[0].Clients.CoreV1().Nodes().List(c.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, n := range nodes.Items {
			if !nodeReady(&n) {
				return fmt.Errorf("%s is not ready", n.Name)
			}
		}
		return nil
	})
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// measureJoins times from the start of a new node to its readiness.
func (c *cluster) measureJoins() {
	token := strings.TrimSpace(c.Nodes[0].Covey("token", "create"))
	var took []time.Duration
	for range c.opts.runs {
		n := c.Add("--join", c.Address(1), "--token", token)
		w, err := c.Nodes[0].Clients.CoreV1().Nodes().Watch(c.ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + n.Name()})
		c.check(err)
		begun, started := time.Now(), make(chan struct{})
		go func() {
			defer close(started)
			n.Start()
		}()
		for e := range w.ResultChan() {
			if node, is := e.Object.(*corev1.Node); is && nodeReady(node) {
				took = append(took, time.Since(begun))
				break
			}
		}
		w.Stop()
		<-started
	}
	if len(took) < c.opts.runs {
		c.Fatal("the nodes do not all get ready")
	}
	timed("join: start on a new machine to Ready", took, "under 2 s")
}
