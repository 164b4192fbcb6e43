package kind_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/api/kind"
)

// shown is an object's row five minutes after the tests' objects are created, as -o wide shows it.
func shown(t *testing.T, k *kind.Kind, text string) string {
	t.Helper()
	obj := parse(t, k, strings.Replace(text, "metadata: {", "metadata: {creationTimestamp: 2026-11-23T12:00:00Z, ", 1))
	var cells []string
	for _, cell := range k.Row(obj, started.Add(5*time.Minute)) {
		cells = append(cells, fmt.Sprint(cell))
	}
	return strings.Join(cells, " | ")
}

func TestColumns(t *testing.T) {
	for resource, want := range map[string]string{
		"pods":            "Name Ready Status Restarts Age +IP +Node +Nominated_Node +Readiness_Gates",
		"deployments":     "Name Ready Up-to-date Available Age +Containers +Images +Selector",
		"replicasets":     "Name Desired Current Ready Age +Containers +Images +Selector",
		"nodes":           "Name Status Roles Age Version +Internal-IP +External-IP +OS-Image +Kernel-Version +Container-Runtime",
		"namespaces":      "Name Status Age",
		"configmaps":      "Name Data Age",
		"secrets":         "Name Type Data Age",
		"serviceaccounts": "Name Age",
		"events":          "Last_Seen Type Reason Object +Subobject +Source Message +First_Seen +Count +Name",
	} {
		var names []string
		for _, c := range find(t, resource).Columns {
			name := strings.ReplaceAll(c.Name, " ", "_")
			if c.Priority > 0 {
				name = "+" + name
			}
			if c.Description == "" || c.Type == "" {
				t.Errorf("%s: column %s has no description or type", resource, c.Name)
			}
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: columns %s, want %s", resource, got, want)
		}
	}
}

func TestRows(t *testing.T) {
	for _, c := range []struct{ resource, text, want string }{
		{"deployments", `
metadata: {name: d}
spec: {replicas: 3, selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: x, image: i:1}, {name: z, image: j:2}]}}}
status: {readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1}`,
			"d | 2/3 | 3 | 1 | 5m | x,z | i:1,j:2 | a=b"},
		{"replicasets", `
metadata: {name: r}
spec: {replicas: 3, selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: x, image: i:1}]}}}
status: {replicas: 2, readyReplicas: 1}`,
			"r | 3 | 2 | 1 | 5m | x | i:1 | a=b"},
		{"nodes", `
metadata: {name: n1, labels: {node-role.kubernetes.io/server: "", kubernetes.io/role: edge}}
spec: {unschedulable: true}
status:
  conditions: [{type: MemoryPressure, status: "False"}, {type: Ready, status: "True"}]
  addresses: [{type: Hostname, address: n}, {type: InternalIP, address: 10.0.0.1}]
  nodeInfo: {kubeletVersion: v1.37.2, osImage: Debian, kernelVersion: 6.1.0, architecture: arm64, containerRuntimeVersion: containerd://2.4.2}`,
			"n1 | Ready,SchedulingDisabled | edge,server | 5m | v1.37.2 | 10.0.0.1 | <none> | Debian | 6.1.0 (arm64) | containerd://2.4.2"},
		{"nodes", "metadata: {name: n1}\nstatus: {conditions: [{type: Ready, status: Unknown}]}",
			"n1 | NotReady | <none> | 5m |  | <none> | <none> | <unknown> | <unknown> | <unknown>"},
		{"nodes", "metadata: {name: n1}", "n1 | Unknown | <none> | 5m |  | <none> | <none> | <unknown> | <unknown> | <unknown>"},
		{"namespaces", "metadata: {name: n1}\nstatus: {phase: Terminating}", "n1 | Terminating | 5m"},
		{"configmaps", "metadata: {name: c}\ndata: {a: b, c: d}\nbinaryData: {e: YQ==}", "c | 3 | 5m"},
		{"secrets", "metadata: {name: s}\ntype: Opaque\ndata: {a: YQ==}", "s | Opaque | 1 | 5m"},
		{"serviceaccounts", "metadata: {name: default}", "default | 5m"},
		{"events", `
metadata: {name: e}
involvedObject: {kind: Pod, name: p, fieldPath: "spec.containers{c}"}
type: Warning
reason: BackOff
message: "Back-off restarting\n"
source: {component: covey, host: n1}
firstTimestamp: 2026-11-23T12:01:00Z
lastTimestamp: 2026-11-23T12:04:30Z
count: 4`, "30s | Warning | BackOff | pod/p | spec.containers{c} | covey, n1 | Back-off restarting | 4m | 4 | e"},
		{"events", "metadata: {name: e}\ninvolvedObject: {kind: Node, name: n1}\neventTime: 2026-11-23T12:04:00.000000Z\nreportingComponent: covey",
			"60s |  |  | node/n1 |  | covey |  | 60s | 1 | e"},
	} {
		if got := shown(t, find(t, c.resource), c.text); got != c.want {
			t.Errorf("%s: row\n%s, want\n%s", c.resource, got, c.want)
		}
	}
}

// TestPodRows shows pods as kubectl's users know them: ready, status and restarts.
func TestPodRows(t *testing.T) {
	const ended = "2026-11-23T12:04:50Z"
	for _, c := range []struct{ name, spec, status, want string }{
		{"pending", "containers: [{name: a}]", "phase: Pending", "0/1 | Pending | 0"},
		{"unschedulable", "containers: [{name: a}]", "phase: Pending\nconditions: [{type: PodScheduled, status: 'False', reason: Unschedulable}]", "0/1 | Pending | 0"},
		{"gated", "containers: [{name: a}]", "phase: Pending\nconditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]", "0/1 | SchedulingGated | 0"},
		{"creating", "containers: [{name: a}]", "phase: Pending\ncontainerStatuses: [{name: a, state: {waiting: {reason: ContainerCreating}}}]", "0/1 | ContainerCreating | 0"},
		{"running", "containers: [{name: a}, {name: b}]", "phase: Running\ncontainerStatuses: [{name: a, ready: true, state: {running: {}}}, {name: b, state: {running: {}}}]", "1/2 | Running | 0"},
		{"restarted", "containers: [{name: a}]", "phase: Running\ncontainerStatuses: [{name: a, ready: true, restartCount: 2, state: {running: {}}, lastState: {terminated: {finishedAt: " + ended + "}}}]", "1/1 | Running | 2 (10s ago)"},
		{"crash loop", "containers: [{name: a}]", "phase: Running\ncontainerStatuses: [{name: a, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, finishedAt: " + ended + "}}}]", "0/1 | CrashLoopBackOff | 3 (10s ago)"},
		{"error", "containers: [{name: a}]", "phase: Failed\ncontainerStatuses: [{name: a, state: {terminated: {exitCode: 1, reason: Error}}}]", "0/1 | Error | 0"},
		{"killed", "containers: [{name: a}]", "phase: Failed\ncontainerStatuses: [{name: a, state: {terminated: {exitCode: 137, signal: 9}}}]", "0/1 | Signal:9 | 0"},
		{"exit code", "containers: [{name: a}]", "phase: Failed\ncontainerStatuses: [{name: a, state: {terminated: {exitCode: 4}}}]", "0/1 | ExitCode:4 | 0"},
		{"completed", "containers: [{name: a}]", "phase: Succeeded\ncontainerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: Completed}}}]", "0/1 | Completed | 0"},
		{"one completed, one running", "containers: [{name: a}, {name: b}]", "phase: Running\ncontainerStatuses: [{name: a, state: {terminated: {reason: Completed}}}, {name: b, ready: true, state: {running: {}}}]", "1/2 | NotReady | 0"},
		{"one completed, one failed", "containers: [{name: a}, {name: b}]", "phase: Failed\ncontainerStatuses: [{name: a, state: {terminated: {reason: Completed}}}, {name: b, state: {terminated: {exitCode: 1, reason: Error}}}]", "0/2 | Error | 0"},
		{"evicted", "containers: [{name: a}]", "phase: Failed\nreason: Evicted", "0/1 | Evicted | 0"},
		{"evicted, and ended by that", "containers: [{name: a}]", "phase: Failed\nreason: Evicted\ncontainerStatuses: [{name: a, state: {terminated: {exitCode: 137, reason: Error}}}]", "0/1 | Evicted | 0"},
		{"first init runs", "initContainers: [{name: i}, {name: j}]\n  containers: [{name: a}]", "phase: Pending\ninitContainerStatuses: [{name: i, state: {running: {}}}, {name: j, state: {waiting: {reason: PodInitializing}}}]", "0/1 | Init:0/2 | 0"},
		{"second init fails", "initContainers: [{name: i}, {name: j}]\n  containers: [{name: a}]", "phase: Pending\ninitContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}, {name: j, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}}]", "0/1 | Init:CrashLoopBackOff | 1"},
		{"init error", "initContainers: [{name: i}]\n  containers: [{name: a}]", "phase: Pending\ninitContainerStatuses: [{name: i, state: {terminated: {exitCode: 2}}}]", "0/1 | Init:ExitCode:2 | 0"},
		{"sidecar after the init container that runs", "initContainers: [{name: i}, {name: j, restartPolicy: Always}]\n  containers: [{name: a}]", "phase: Running\nconditions: [{type: Initialized, status: 'True'}]\ninitContainerStatuses: [{name: i, restartCount: 1, state: {running: {}}}, {name: j, restartCount: 2, state: {running: {}}}]\ncontainerStatuses: [{name: a, restartCount: 4, ready: true, state: {running: {}}}]", "1/2 | Init:0/2 | 4"},
		{"initialized", "initContainers: [{name: i}]\n  containers: [{name: a}]", "phase: Pending\ninitContainerStatuses: [{name: i, restartCount: 5, state: {terminated: {exitCode: 0}}}]\ncontainerStatuses: [{name: a, state: {waiting: {reason: PodInitializing}}}]", "0/1 | PodInitializing | 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "metadata: {name: p}\nspec:\n  " + c.spec + "\nstatus:\n" + indent(c.status)
			want := "p | " + c.want + " | 5m | <none> | <none> | <none> | <none>"
			if got := shown(t, find(t, "pods"), text); got != want {
				t.Errorf("row\n%s, want\n%s", got, want)
			}
		})
	}
}

func TestWideAndTerminatingPod(t *testing.T) {
	p := parse(t, find(t, "pods"), `
metadata: {name: p, deletionTimestamp: 2026-11-23T12:04:00Z}
spec: {nodeName: n1, containers: [{name: a}], readinessGates: [{conditionType: x/a}, {conditionType: x/b}]}
status:
  phase: Running
  nominatedNodeName: m
  podIPs: [{ip: 10.0.0.7}]
  conditions: [{type: x/b, status: "True"}]
`)
	row := fmt.Sprint(find(t, "pods").Row(p, started))
	if want := "[p 0/1 Terminating 0 <unknown> 10.0.0.7 n1 m 1/2]"; row != want {
		t.Errorf("row %s, want %s", row, want)
	}
	p.(*corev1.Pod).Status.Reason = "NodeLost"
	if row := fmt.Sprint(find(t, "pods").Row(p, started)); !strings.Contains(row, " Unknown ") {
		t.Errorf("row %s of a deleted pod on a lost node, want it unknown", row)
	}
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

func TestSchemeKnowsEveryKind(t *testing.T) {
	for _, k := range kind.All() {
		for _, obj := range []any{k.New(), k.NewList()} {
			data, err := yaml.Marshal(obj)
			if err != nil || len(data) == 0 {
				t.Errorf("%s: %v", k.Plural, err)
			}
		}
		if !kind.Scheme().Recognizes(k.GVK) || !kind.Scheme().Recognizes(k.GVK.GroupVersion().WithKind(k.GVK.Kind+"List")) {
			t.Errorf("the scheme does not know %s", k.GVK)
		}
		if kind.Find(k.GVK.Group, k.GVK.Version, k.Plural) != k {
			t.Errorf("%s cannot be found", k.Plural)
		}
	}
	if k := kind.Find("batch", "v1", "jobs"); k != nil {
		t.Errorf("found %s, which is not served", k.Plural)
	}
}
