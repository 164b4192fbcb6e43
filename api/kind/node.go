package kind

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func nodeKind() *Kind {
	k := base[corev1.Node, corev1.NodeList](corev1.SchemeGroupVersion.WithKind("Node"), "nodes", "node", "no")
	k.Namespaced = false
	k.Default = func(obj Object) {
		settlePodCIDR(&obj.(*corev1.Node).Spec)
		Scheme().Default(obj)
	}
	// A node may be created with its status, as in Kubernetes: whoever registers it knows it.
	k.PrepareUpdate = onBoth(func(n, old *corev1.Node) { n.Status = old.Status })
	k.PrepareStatus = onBoth(func(n, old *corev1.Node) { n.Spec = old.Spec })
	check[core.Node](k, validation.ValidateNode, func(n, old *core.Node) field.ErrorList {
		return append(validation.ValidateNode(n), validation.ValidateNodeUpdate(n, old)...)
	})
	checkStatus[core.Node](k, validation.ValidateNodeUpdate)
	warnOfFields(k, nodePart, nil)
	selectable(k, func(n *corev1.Node) fields.Set {
		return fields.Set{"spec.unschedulable": strconv.FormatBool(n.Spec.Unschedulable)}
	})
	k.Columns = nodeColumns()
	k.Row = rowOf(nodeRow)
	return k
}

// settlePodCIDR makes the two fields that name the pods' first range say the same; the one that old clients know wins.
func settlePodCIDR(spec *corev1.NodeSpec) {
	if spec.PodCIDR == "" && len(spec.PodCIDRs) > 0 {
		spec.PodCIDR = spec.PodCIDRs[0]
	}
	if spec.PodCIDR != "" && (len(spec.PodCIDRs) == 0 || spec.PodCIDRs[0] != spec.PodCIDR) {
		spec.PodCIDRs = []string{spec.PodCIDR}
	}
}

func nodeColumns() []metav1.TableColumnDefinition {
	info, status := corev1.NodeSystemInfo{}.SwaggerDoc(), corev1.NodeStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		nameColumn(),
		text("Status", "The status of the node"),
		text("Roles", "The roles of the node"),
		ageColumn(),
		text("Version", info["kubeletVersion"]),
		wide(text("Internal-IP", status["addresses"])),
		wide(text("External-IP", status["addresses"])),
		wide(text("OS-Image", info["osImage"])),
		wide(text("Kernel-Version", info["kernelVersion"])),
		wide(text("Container-Runtime", info["containerRuntimeVersion"])),
	}
}

func nodeRow(n *corev1.Node, now time.Time) []any {
	info := n.Status.NodeInfo
	kernel := orElse(info.KernelVersion, unknown)
	if info.Architecture != "" {
		kernel += " (" + info.Architecture + ")"
	}
	return []any{
		n.Name, nodeStatus(n), nodeRoles(n), age(n, now), info.KubeletVersion,
		nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
		orElse(info.OSImage, unknown), kernel, orElse(info.ContainerRuntimeVersion, unknown),
	}
}

// nodeStatus is "Ready", "NotReady" or "Unknown", with ",SchedulingDisabled" when the node is cordoned.
func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		switch {
		case c.Type != corev1.NodeReady:
		case c.Status == corev1.ConditionTrue:
			status = "Ready"
		default:
			status = "NotReady"
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

// nodeRoles are the roles that the labels node-role.kubernetes.io/<role> and kubernetes.io/role name.
func nodeRoles(n *corev1.Node) string {
	roles := map[string]bool{}
	for key, value := range n.Labels {
		if role, ok := strings.CutPrefix(key, "node-role.kubernetes.io/"); ok && role != "" {
			roles[role] = true
		}
		if key == "kubernetes.io/role" && value != "" {
			roles[value] = true
		}
	}
	return orElse(strings.Join(slices.Sorted(maps.Keys(roles)), ","), none)
}

// nodeAddress is the node's first address of a type.
func nodeAddress(n *corev1.Node, typ corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == typ {
			return a.Address
		}
	}
	return none
}
