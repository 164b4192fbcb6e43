package placement

import (
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
)

// What a pod without requests counts as when nodes are compared (not when they are filtered): a hundredth of a few
// cores and some memory, so that pods without requests spread too. The figures are kube-scheduler's.
const (
	unstatedMilliCPU = 100
	unstatedMemory   = 200 << 20
)

// Demand is what a pod asks of a node, in numbers. It is immutable and may be shared between equal pods.
type Demand struct {
	milliCPU, memory, disk int64 // requests; bytes but for the CPU
	scoreCPU, scoreMemory  int64 // the same with a floor, for comparing nodes
	extended               []amount
	ports                  []port
	rules                  *rules
	owner                  types.UID             // the controller, for spreading; empty for a pod on its own
	related                bool                  // has rules about other pods
	kin                    unique.Handle[string] // of the group
	shape                  unique.Handle[string] // equal demands that fail once fail again
}

type amount struct {
	name corev1.ResourceName
	n    int64
}

// port is a host port as it is taken on a node; an empty IP is all addresses.
type port struct {
	ip       string
	protocol corev1.Protocol
	number   int32
}

// rules are what of a pod is compared with the node's labels and taints. Pods made from one template share a key.
type rules struct {
	key         string
	selector    map[string]string
	affinity    *corev1.Affinity
	tolerations []corev1.Toleration
	bestEffort  bool // its quality of service
}

// mostAsked is more than any node has. A quantity may be above what 64 bits hold: its value, or the sum of some, would be
// negative, and fit everywhere.
const mostAsked = 1 << 53

func asked(q resource.Quantity) int64 {
	if q.CmpInt64(mostAsked) >= 0 {
		return mostAsked
	}
	return q.Value()
}

func milliAsked(q resource.Quantity) int64 {
	if q.CmpInt64(mostAsked/1000) >= 0 {
		return mostAsked
	}
	return q.MilliValue()
}

// NewDemand reads what the pod asks for: the requests of its containers, init containers and overhead as Kubernetes
// adds them up, host ports, and its scheduling rules.
func NewDemand(pod *corev1.Pod) *Demand {
	d := &Demand{rules: newRules(pod), ports: hostPorts(&pod.Spec), kin: unique.Make(kin(pod))}
	a := pod.Spec.Affinity
	d.related = len(pod.Spec.TopologySpreadConstraints) > 0 || a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil)
	if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
		d.owner = ref.UID
	}
	for name, q := range resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}) {
		switch name {
		case corev1.ResourceCPU:
			d.milliCPU = milliAsked(q)
		case corev1.ResourceMemory:
			d.memory = asked(q)
		case corev1.ResourceEphemeralStorage:
			d.disk = asked(q)
		default:
			if !q.IsZero() {
				d.extended = append(d.extended, amount{name, asked(q)})
			}
		}
	}
	d.scoreCPU, d.scoreMemory = max(d.milliCPU, unstatedMilliCPU), max(d.memory, unstatedMemory)
	d.shape = unique.Make(d.describe())
	return d
}

// Shape is equal for pods that fit the same nodes: when one of them finds no node, nor does the other.
func (d *Demand) Shape() string { return d.shape.Value() }

// Related says whether it depends on other pods where the pod fits, so that it may fit when one of them comes or changes.
func (d *Demand) Related() bool { return d.related }

// Kin is equal for pods that are alike to the rules of others.
func (d *Demand) Kin() string { return d.kin.Value() }

// Labels are those of the pod whose demand it is. They are shared: never modify them.
func (c *Cluster) Labels(d *Demand) labels.Set { return c.groupOf(d).labels }

func newRules(pod *corev1.Pod) *rules {
	spec := &pod.Spec
	r := &rules{selector: spec.NodeSelector, tolerations: spec.Tolerations, bestEffort: pod.Status.QOSClass == corev1.PodQOSBestEffort}
	if r.bestEffort {
		r.key = "best effort "
	}
	if spec.Affinity != nil && spec.Affinity.NodeAffinity != nil {
		r.affinity = &corev1.Affinity{NodeAffinity: spec.Affinity.NodeAffinity}
	}
	if len(r.selector) == 0 && r.affinity == nil && len(r.tolerations) == 0 {
		return r
	}
	// The protobuf form has its map keys sorted, so equal rules have equal keys.
	part := corev1.PodSpec{NodeSelector: r.selector, Affinity: r.affinity, Tolerations: r.tolerations}
	if b, err := part.Marshal(); err == nil {
		r.key += string(b)
	}
	return r
}

func hostPorts(spec *corev1.PodSpec) []port {
	var out []port
	collect := func(containers []corev1.Container, sidecarsOnly bool) {
		for i := range containers {
			c := &containers[i]
			if sidecarsOnly && (c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways) {
				continue
			}
			for _, p := range c.Ports {
				if p.HostPort > 0 {
					out = append(out, newPort(p))
				}
			}
		}
	}
	collect(spec.InitContainers, true)
	collect(spec.Containers, false)
	return out
}

func newPort(p corev1.ContainerPort) port {
	np := port{ip: p.HostIP, protocol: p.Protocol, number: p.HostPort}
	if np.ip == "0.0.0.0" || np.ip == "::" {
		np.ip = ""
	}
	if np.protocol == "" {
		np.protocol = corev1.ProtocolTCP
	}
	return np
}

func (p port) clashes(q port) bool {
	return p.number == q.number && p.protocol == q.protocol && (p.ip == q.ip || p.ip == "" || q.ip == "")
}

func (d *Demand) describe() string {
	var b strings.Builder
	put := func(n int64) {
		for range 8 {
			b.WriteByte(byte(n))
			n >>= 8
		}
	}
	put(d.milliCPU)
	put(d.memory)
	put(d.disk)
	put(int64(len(d.extended)))
	for _, a := range sorted(d.extended) {
		b.WriteString(string(a.name))
		b.WriteByte(0)
		put(a.n)
	}
	for _, p := range d.ports {
		b.WriteString(p.ip)
		b.WriteByte(0)
		b.WriteString(string(p.protocol))
		put(int64(p.number))
	}
	b.WriteString(d.rules.key)
	b.WriteByte(0)
	b.WriteString(d.kin.Value())
	return b.String()
}
