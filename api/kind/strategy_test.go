package kind_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"covey.dev/covey/api/kind"
)

func TestHelloIsDefaultedAsInKubernetes(t *testing.T) {
	d := mustCreate(t, find(t, "deployments"), strings.Replace(hello, "  replicas: 1\n", "", 1)).(*appsv1.Deployment)
	pod := d.Spec.Template.Spec
	probe := pod.Containers[0].LivenessProbe
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"replicas", *d.Spec.Replicas, int32(1)},
		{"strategy", d.Spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType},
		{"maxSurge", d.Spec.Strategy.RollingUpdate.MaxSurge.String(), "25%"},
		{"maxUnavailable", d.Spec.Strategy.RollingUpdate.MaxUnavailable.String(), "25%"},
		{"revisionHistoryLimit", *d.Spec.RevisionHistoryLimit, int32(10)},
		{"progressDeadlineSeconds", *d.Spec.ProgressDeadlineSeconds, int32(600)},
		{"generation", d.Generation, int64(1)},
		{"restartPolicy", pod.RestartPolicy, corev1.RestartPolicyAlways},
		{"dnsPolicy", pod.DNSPolicy, corev1.DNSClusterFirst},
		{"grace", *pod.TerminationGracePeriodSeconds, int64(30)},
		{"scheduler", pod.SchedulerName, "default-scheduler"},
		{"pull policy", pod.Containers[0].ImagePullPolicy, corev1.PullIfNotPresent},
		{"protocol", pod.Containers[0].Ports[0].Protocol, corev1.ProtocolTCP},
		{"probe scheme", probe.HTTPGet.Scheme, corev1.URISchemeHTTP},
		{"probe delay", probe.InitialDelaySeconds, int32(10)},
		{"probe timeout", probe.TimeoutSeconds, int32(5)},
		{"probe period", probe.PeriodSeconds, int32(30)},
		{"probe failures", probe.FailureThreshold, int32(3)},
		{"probe successes", probe.SuccessThreshold, int32(1)},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestDeploymentGeneration(t *testing.T) {
	k := find(t, "deployments")
	old := mustCreate(t, k, hello).(*appsv1.Deployment)
	old.Status.Replicas = 3
	for _, c := range []struct {
		what, text string
		want       int64
	}{
		{"nothing", hello, 1},
		{"labels", strings.Replace(hello, "namespace: default", "namespace: default, labels: {a: b}", 1), 1},
		{"annotations", strings.Replace(hello, "namespace: default", "namespace: default, annotations: {a: b}", 1), 2},
		{"replicas", strings.Replace(hello, "replicas: 1", "replicas: 2", 1), 2},
		{"the image", strings.Replace(hello, "hello:1", "hello:2", 1), 2},
		{"the status", hello + "status: {replicas: 5}", 1},
	} {
		obj, errs := updated(t, k, old, c.text)
		if len(errs) > 0 || obj.GetGeneration() != c.want || obj.(*appsv1.Deployment).Status.Replicas != 3 {
			t.Errorf("after a change of %s: generation %d, status %v, errors %v; want generation %d and the status as it was",
				c.what, obj.GetGeneration(), obj.(*appsv1.Deployment).Status, errs, c.want)
		}
	}
}

func TestForbiddenChanges(t *testing.T) {
	for _, c := range []struct{ resource, name, before, after, want string }{
		{"deployments", "selector", hello, strings.ReplaceAll(hello, "app: hello}", "app: other}"), "spec.selector: Invalid value"},
		{"pods", "command", helloPod, strings.Replace(helloPod, "image: i:1", "image: i:1, command: [x]", 1), "pod updates may not change fields other than"},
		{"pods", "image", helloPod, strings.Replace(helloPod, "image: i:1", "image: i:2", 1), ""},
		{"configmaps", "immutable", "metadata: {name: c, namespace: d}\nimmutable: true\ndata: {a: b}", "metadata: {name: c, namespace: d}\nimmutable: true\ndata: {a: c}", "field is immutable when `immutable` is set"},
		{"secrets", "type", "metadata: {name: c, namespace: d}", "metadata: {name: c, namespace: d}\ntype: example.com/other", "type: Invalid value"},
		{"secrets", "immutable", "metadata: {name: c, namespace: d}\nimmutable: true\ndata: {a: YQ==}", "metadata: {name: c, namespace: d}\nimmutable: true\nstringData: {a: b}", "field is immutable when `immutable` is set"},
		{"nodes", "pod CIDR", "metadata: {name: n}\nspec: {podCIDR: 10.0.0.0/24, podCIDRs: [10.0.0.0/24]}", "metadata: {name: n}\nspec: {podCIDR: 10.0.1.0/24, podCIDRs: [10.0.1.0/24]}", "spec.podCIDRs: Forbidden"},
	} {
		t.Run(c.resource+" "+c.name, func(t *testing.T) {
			k := find(t, c.resource)
			old := mustCreate(t, k, c.before)
			obj := parse(t, k, c.after)
			if p, ok := obj.(*corev1.Pod); ok { // the client sends back what it has read
				was := old.(*corev1.Pod).Spec
				p.Spec.ServiceAccountName, p.Spec.Tolerations = was.ServiceAccountName, slices.Clone(was.Tolerations)
			}
			k.Default(obj)
			obj.SetResourceVersion(old.GetResourceVersion())
			if k.PrepareUpdate != nil {
				k.PrepareUpdate(obj, old)
			}
			errs := k.ValidateUpdate(obj, old)
			if c.want == "" && len(errs) > 0 || c.want != "" && (len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), c.want)) {
				t.Errorf("errors = %v, want %q", errs.ToAggregate(), c.want)
			}
		})
	}
}

func TestNewPod(t *testing.T) {
	text := strings.Replace(helloPod, "image: i:1", "image: i:1, resources: {limits: {cpu: 1, memory: 1Mi}}", 1) + "status: {phase: Running}"
	p := mustCreate(t, find(t, "pods"), text).(*corev1.Pod)
	if p.Status.Phase != corev1.PodPending || p.Status.QOSClass != corev1.PodQOSGuaranteed || p.Generation != 1 {
		t.Errorf("phase %q, class %q, generation %d; want a pending, guaranteed pod of generation 1", p.Status.Phase, p.Status.QOSClass, p.Generation)
	}
	if p.Spec.ServiceAccountName != "default" || p.Spec.DeprecatedServiceAccount != "default" {
		t.Errorf("service account %q, %q, want the default one", p.Spec.ServiceAccountName, p.Spec.DeprecatedServiceAccount)
	}
	var keys []string
	for _, tol := range p.Spec.Tolerations {
		keys = append(keys, tol.Key)
		if tol.TolerationSeconds == nil || *tol.TolerationSeconds != 3 {
			t.Errorf("toleration %v, want one for 3 s", tol)
		}
	}
	if !slices.Equal(keys, []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable}) {
		t.Errorf("tolerations %q, want those of a lost node", keys)
	}
	all := mustCreate(t, find(t, "pods"), helloPod+"  tolerations: [{operator: Exists}]").(*corev1.Pod)
	if len(all.Spec.Tolerations) != 1 {
		t.Errorf("tolerations %v, want only the pod's own, which tolerates all", all.Spec.Tolerations)
	}
}

func TestGatedPodSaysSo(t *testing.T) {
	k := find(t, "pods")
	p := mustCreate(t, k, strings.Replace(helloPod, "spec:", "spec:\n  schedulingGates: [{name: example.com/wait}]", 1))
	if status := k.Row(p, started)[2]; status != "SchedulingGated" {
		t.Errorf("status %v of a pod with a scheduling gate, want SchedulingGated", status)
	}
	if at := p.(*corev1.Pod).Status.Conditions[0].LastTransitionTime; !at.Time.Equal(started) {
		t.Errorf("the condition is of %v, want %v", at, started)
	}
}

func TestGraceOfPods(t *testing.T) {
	running := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: ptr.To[int64](30)}}
		p.Status.Phase = corev1.PodRunning
		if change != nil {
			change(p)
		}
		return p
	}
	for _, c := range []struct {
		name  string
		pod   *corev1.Pod
		asked *int64
		want  int64
	}{
		{"its own", running(nil), nil, 30},
		{"what is asked", running(nil), ptr.To[int64](5), 5},
		{"none asked", running(nil), ptr.To[int64](0), 0},
		{"less than none", running(nil), ptr.To[int64](-1), 1},
		{"not placed", running(func(p *corev1.Pod) { p.Spec.NodeName = "" }), ptr.To[int64](5), 0},
		{"failed", running(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), nil, 0},
		{"succeeded", running(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), nil, 0},
	} {
		if got := find(t, "pods").GraceSeconds(c.pod, c.asked); got != c.want {
			t.Errorf("%s: grace %d, want %d", c.name, got, c.want)
		}
	}
}

func TestStatusWritesLeaveTheRest(t *testing.T) {
	k := find(t, "pods")
	old := mustCreate(t, k, helloPod).(*corev1.Pod)
	obj := old.DeepCopy()
	obj.Spec.Containers[0].Image = "other"
	obj.OwnerReferences = []metav1.OwnerReference{{Name: "x"}}
	obj.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.7"}
	k.PrepareStatus(obj, old)
	if errs := k.ValidateStatus(obj, old); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	if obj.Spec.Containers[0].Image != "i:1" || len(obj.OwnerReferences) > 0 {
		t.Errorf("a write to the status changed the spec or the owners: %v", obj)
	}
	if obj.Status.Phase != corev1.PodRunning || obj.Status.QOSClass != corev1.PodQOSBestEffort || len(obj.Status.PodIPs) != 1 {
		t.Errorf("status %v, want it running, with its class kept and both forms of the address", obj.Status)
	}
	dk := find(t, "deployments")
	oldD := mustCreate(t, dk, hello).(*appsv1.Deployment)
	d := oldD.DeepCopy()
	d.Labels = map[string]string{"a": "b"}
	d.Spec.Replicas = ptr.To[int32](9)
	d.Status.Replicas = 1
	dk.PrepareStatus(d, oldD)
	if len(d.Labels) > 0 || *d.Spec.Replicas != 1 || d.Generation != 1 || d.Status.Replicas != 1 {
		t.Errorf("a write to the status changed more, or less: %v", d)
	}
}

func TestNamespaces(t *testing.T) {
	k := find(t, "namespaces")
	n := mustCreate(t, k, "metadata: {name: shop}").(*corev1.Namespace)
	if n.Status.Phase != corev1.NamespaceActive || !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) || n.Labels[corev1.LabelMetadataName] != "shop" {
		t.Errorf("new namespace %v, want it active, with finalizer and name label", n)
	}
	obj, errs := updated(t, k, n, "metadata: {name: shop, labels: {a: b}}")
	if got := obj.(*corev1.Namespace); len(errs) > 0 || len(got.Spec.Finalizers) != 1 || got.Labels[corev1.LabelMetadataName] != "shop" {
		t.Errorf("updated namespace %v, errors %v; want finalizer and name label kept", obj, errs)
	}
	k.OnDelete(n)
	if n.Status.Phase != corev1.NamespaceTerminating {
		t.Errorf("phase %q of a deleted namespace, want Terminating", n.Status.Phase)
	}
}

func TestPodRangesOfNodesAgree(t *testing.T) {
	for text, want := range map[string]string{
		"podCIDR: 10.1.0.0/24":                                       "10.1.0.0/24 [10.1.0.0/24]",
		"podCIDRs: [10.1.0.0/24, 'fd00::/64']":                       "10.1.0.0/24 [10.1.0.0/24 fd00::/64]",
		"podCIDR: 10.2.0.0/24, podCIDRs: [10.1.0.0/24, 'fd00::/64']": "10.2.0.0/24 [10.2.0.0/24]",
	} {
		spec := mustCreate(t, find(t, "nodes"), "metadata: {name: n}\nspec: {"+text+"}").(*corev1.Node).Spec
		if got := fmt.Sprint(spec.PodCIDR, " ", spec.PodCIDRs); got != want {
			t.Errorf("node with %s: ranges %s, want %s", text, got, want)
		}
	}
}

func TestSecretStringData(t *testing.T) {
	s := mustCreate(t, find(t, "secrets"), "metadata: {name: s, namespace: d}\ndata: {a: YQ==, b: Yg==}\nstringData: {a: new}").(*corev1.Secret)
	if string(s.Data["a"]) != "new" || string(s.Data["b"]) != "b" || s.StringData != nil || s.Type != corev1.SecretTypeOpaque {
		t.Errorf("secret %v, want stringData in data", s)
	}
}

func TestScale(t *testing.T) {
	k := find(t, "deployments")
	d := mustCreate(t, k, hello).(*appsv1.Deployment)
	d.Status.Replicas = 2
	k.Scale.Set(d, 4)
	s := k.Scale.Get(d)
	if s.Name != "hello" || s.Spec.Replicas != 4 || s.Status.Replicas != 2 || s.Status.Selector != "app=hello" {
		t.Errorf("scale %v", s)
	}
}

func warningsOf(t *testing.T, k *kind.Kind, obj, old kind.Object) []string {
	t.Helper()
	return k.Warnings(context.Background(), obj, old)
}

func TestNoWarningsForOrdinaryManifests(t *testing.T) {
	k := find(t, "deployments")
	d := mustCreate(t, k, hello)
	if got := warningsOf(t, k, d, nil); len(got) > 0 {
		t.Errorf("the example's Deployment has warnings: %q", got)
	}
	host := strings.Replace(helloPod, "  containers: [{name: c, image: i:1}]", `
  hostNetwork: true
  preemptionPolicy: PreemptLowerPriority
  enableServiceLinks: true
  automountServiceAccountToken: false
  os: {name: linux}
  securityContext: {runAsUser: 1, fsGroup: 2, seccompProfile: {type: RuntimeDefault}}
  initContainers: [{name: i, image: i:1}]
  containers:
  - name: c
    image: i:1
    ports: [{containerPort: 80}]
    resources: {limits: {cpu: 1, memory: 20Mi, ephemeral-storage: 1Gi}}
    volumeMounts: [{name: v, mountPath: /v, subPath: a}]
    readinessProbe: {grpc: {port: 80}}
    lifecycle: {preStop: {sleep: {seconds: 1}}}
  volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]`, 1)
	pk := find(t, "pods")
	if got := warningsOf(t, pk, mustCreate(t, pk, host), nil); len(got) > 0 {
		t.Errorf("a pod of what covey acts on has warnings: %q", got)
	}
}

func TestFieldsWithoutEffectAreWarnedOf(t *testing.T) {
	k := find(t, "deployments")
	text := strings.Replace(hello, "    spec:\n", `    spec:
      serviceAccountName: other
      volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]
`, 1)
	d := mustCreate(t, k, text)
	got := strings.Join(warningsOf(t, k, d, nil), "\n")
	for _, path := range []string{"serviceAccountName", "volumes[0].projected.sources[0].serviceAccountToken"} {
		if !strings.Contains(got, "spec.template.spec."+path+": covey does not act on this field") {
			t.Errorf("no warning of %s in\n%s", path, got)
		}
	}
	scaled, _ := updated(t, k, d, strings.Replace(text, "replicas: 1", "replicas: 2", 1))
	if again := warningsOf(t, k, scaled, d); len(again) > 0 {
		t.Errorf("scaling warns of the template again: %q", again)
	}
}

func TestFieldsThatAreRefused(t *testing.T) {
	for want, pod := range map[string]string{
		"spec.volumes[0].persistentVolumeClaim": "  volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]",
		"spec.volumes[0].nfs":                   "  volumes: [{name: v, nfs: {server: s, path: /p}}]",
		"spec.os.name":                          "  os: {name: windows}",
	} {
		_, errs := created(t, find(t, "pods"), helloPod+pod)
		if len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), want) || !strings.Contains(errs.ToAggregate().Error(), "covey does not support this") {
			t.Errorf("errors = %v, want one that refuses %s", errs.ToAggregate(), want)
		}
	}
	k := find(t, "pods")
	old, _ := created(t, k, helloPod+"  os: {name: windows}")
	old.SetResourceVersion("7")
	obj := old.DeepCopyObject().(kind.Object)
	obj.SetLabels(map[string]string{"a": "b"})
	if errs := k.ValidateUpdate(obj, old); len(errs) > 0 {
		t.Errorf("an old object can no longer be labelled: %v", errs.ToAggregate())
	}
}

func TestKubernetesWarnsToo(t *testing.T) {
	k := find(t, "pods")
	p := mustCreate(t, k, strings.Replace(helloPod, "image: i:1", "image: i:1, env: [{name: A, value: x}, {name: A, value: y}]", 1))
	if got := strings.Join(warningsOf(t, k, p, nil), "\n"); !strings.Contains(got, "spec.containers[0].env[1]") {
		t.Errorf("warnings %q, want Kubernetes' one of the duplicate variable", got)
	}
}

func TestFieldSelectors(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "d"}, Spec: corev1.PodSpec{NodeName: "n"}}
	k := kind.Find("", "v1", "pods")
	if set := k.Fields(p); set["metadata.name"] != "p" || set["metadata.namespace"] != "d" || set["spec.nodeName"] != "n" || set["spec.hostNetwork"] != "false" {
		t.Errorf("fields %v", set)
	}
	for _, k := range kind.All() {
		if !slices.Contains(k.FieldNames, "metadata.name") || slices.Contains(k.FieldNames, "metadata.namespace") != k.Namespaced {
			t.Errorf("%s: field names %q", k.Plural, k.FieldNames)
		}
		if cells := len(k.Row(k.New(), time.Now())); cells != len(k.Columns) {
			t.Errorf("%s: %d cells for %d columns", k.Plural, cells, len(k.Columns))
		}
	}
}
