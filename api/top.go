package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/mux"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/metrics"
	"covey.dev/covey/store"
)

// measured is a kind of metrics.k8s.io: what objects of another kind use now. Nothing of it is stored.
type measured struct {
	kind *kind.Kind
	of   *kind.Kind // whose names and labels it has
}

// measuredNodeTimeout is how long a list waits for a node; metrics of nodes that don't answer are left out.
const measuredNodeTimeout = 10 * time.Second

// measuredKinds are the kinds of metrics.k8s.io for those of nodes and pods that are served.
func measuredKinds(kinds []*kind.Kind) []measured {
	var out []measured
	for _, k := range kinds {
		m := measured{of: k}
		switch k.Resource() {
		case "nodes":
			m.kind = measuredKind("NodeMetrics", "nodes", func() kind.Object { return &metricsv1beta1.NodeMetrics{} },
				func() runtime.Object { return &metricsv1beta1.NodeMetricsList{} })
		case "pods":
			m.kind = measuredKind("PodMetrics", "pods", func() kind.Object { return &metricsv1beta1.PodMetrics{} },
				func() runtime.Object { return &metricsv1beta1.PodMetricsList{} })
			m.kind.Namespaced = true
		default:
			continue
		}
		out = append(out, m)
	}
	return out
}

func measuredKind(name, plural string, one func() kind.Object, list func() runtime.Object) *kind.Kind {
	return &kind.Kind{
		GVK: metricsv1beta1.SchemeGroupVersion.WithKind(name), Plural: plural, New: one, NewList: list,
		Columns: []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string", Format: "name", Description: "Name of the resource"},
			{Name: "cpu", Type: "string", Description: "Processor time in use, in cores"},
			{Name: "memory", Type: "string", Description: "Working set of memory"},
			{Name: "window", Type: "string", Description: "Time over which the processor time was measured"},
		},
		Row: measuredRow,
	}
}

func measuredRow(obj kind.Object, _ time.Time) []any {
	var used corev1.ResourceList
	var window metav1.Duration
	switch m := obj.(type) {
	case *metricsv1beta1.NodeMetrics:
		used, window = m.Usage, m.Window
	case *metricsv1beta1.PodMetrics:
		window = m.Window
		cpu, memory := &quantity.Quantity{Format: quantity.DecimalSI}, &quantity.Quantity{Format: quantity.BinarySI}
		for i := range m.Containers {
			cpu.Add(*m.Containers[i].Usage.Cpu())
			memory.Add(*m.Containers[i].Usage.Memory())
		}
		used = corev1.ResourceList{corev1.ResourceCPU: *cpu, corev1.ResourceMemory: *memory}
	}
	return []any{obj.GetName(), used.Cpu().String(), used.Memory().String(), window.Duration.String()}
}

// measuredRoutes serve metrics.k8s.io.
func (s *Server) measuredRoutes(sub *mux.Router, gv groupVersion) {
	for _, m := range gv.measured {
		all := "/" + m.kind.Plural
		scope := all
		if m.kind.Namespaced {
			scope = "/namespaces/{namespace}" + all
			s.route(sub, all, m.kind, "", verbs{http.MethodGet: m.list})
		}
		s.route(sub, scope, m.kind, "", verbs{http.MethodGet: m.list})
		s.route(sub, scope+"/{name}", m.kind, "", verbs{http.MethodGet: m.get})
	}
}

// list answers with the metrics of the selected objects that can be had.
func (m measured) list(c *call) error {
	if isWatch(c.r) {
		return apierrors.NewMethodNotSupported(c.groupResource(), "watch")
	}
	of := *c
	of.kind = m.of
	opts, err := of.listOptions()
	if err != nil {
		return err
	}
	snap, err := c.snapshot(opts.ResourceVersion)
	if err != nil {
		return err
	}
	recs, _ := opts.collect(page{snapshot: snap}, 0)
	objs := of.objects(recs)
	used := c.use(nodesOf(objs))
	c.collector.Forget(func(name string) bool {
		_, there := snap.Get(store.Key{Resource: "nodes", Name: name})
		return there
	})
	var out []kind.Object
	for _, obj := range objs {
		if measured := measure(obj, used[nodeOf(obj)]); measured != nil {
			out = append(out, measured)
		}
	}
	return c.respondList(http.StatusOK, out, metav1.ListMeta{})
}

// get answers with the metrics of one object.
func (m measured) get(c *call) error {
	of := *c
	of.kind = m.of
	obj, err := of.find("")
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err == nil {
		used := c.use([]string{nodeOf(obj)})
		if out := measure(obj, used[nodeOf(obj)]); out != nil {
			return c.respond(http.StatusOK, out)
		}
	}
	name := c.name
	if c.namespace != "" {
		name = c.namespace + "/" + name
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: c.kind.GVK.Group, Resource: map[string]string{"nodes": "nodemetrics", "pods": "podmetrics"}[c.kind.Plural]}, name)
}

// use asks nodes, all at once; those that don't answer are left out.
func (c *call) use(nodes []string) map[string]*metrics.Node {
	ctx, cancel := context.WithTimeout(c.ctx(), measuredNodeTimeout)
	defer cancel()
	out := map[string]*metrics.Node{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, name := range nodes {
		asking.Go(func() {
			n, err := c.collector.Node(ctx, name)
			if err != nil {
				c.log.Debug("read the metrics of a node", "node", name, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = n
		})
	}
	asking.Wait()
	return out
}

// nodeOf is the node that knows what obj uses; "" when nobody does.
func nodeOf(obj kind.Object) string {
	switch obj := obj.(type) {
	case *corev1.Node:
		return obj.Name
	case *corev1.Pod:
		return obj.Spec.NodeName
	}
	return ""
}

func nodesOf(objs []kind.Object) []string {
	var out []string
	for _, obj := range objs {
		if name := nodeOf(obj); name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// measure is what obj uses; nil when that is not known.
func measure(obj kind.Object, used *metrics.Node) kind.Object {
	if used == nil {
		return nil
	}
	about := metav1.ObjectMeta{
		Name: obj.GetName(), Namespace: obj.GetNamespace(), Labels: obj.GetLabels(), CreationTimestamp: metav1.NewTime(used.At).Rfc3339Copy(),
	}
	at, window := metav1.NewTime(used.At).Rfc3339Copy(), metav1.Duration{Duration: used.Window}
	pod, isPod := obj.(*corev1.Pod)
	if !isPod {
		out := &metricsv1beta1.NodeMetrics{ObjectMeta: about, Timestamp: at, Window: window, Usage: quantities(used.Use)}
		out.SetGroupVersionKind(metricsv1beta1.SchemeGroupVersion.WithKind("NodeMetrics"))
		return out
	}
	out := &metricsv1beta1.PodMetrics{ObjectMeta: about, Timestamp: at, Window: window}
	out.SetGroupVersionKind(metricsv1beta1.SchemeGroupVersion.WithKind("PodMetrics"))
	main, inits, ephemeral := containerNames(pod)
	for _, name := range slices.Concat(main, inits, ephemeral) {
		if use, ok := used.Containers[metrics.Container{Namespace: pod.Namespace, Pod: pod.Name, Name: name}]; ok {
			out.Containers = append(out.Containers, metricsv1beta1.ContainerMetrics{Name: name, Usage: quantities(use)})
		}
	}
	if len(out.Containers) == 0 {
		return nil
	}
	return out
}

func quantities(u metrics.Use) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *quantity.NewMilliQuantity(u.MilliCPU, quantity.DecimalSI),
		corev1.ResourceMemory: *quantity.NewQuantity(u.Memory, quantity.BinarySI),
	}
}

// handlerOf is Nodes.Handler, also where there are no nodes.
func (s *Server) handlerOf(node string) (http.Handler, error) {
	if s.cfg.Nodes == nil {
		return nil, errors.New("no node can be reached")
	}
	return s.cfg.Nodes.Handler(node)
}
