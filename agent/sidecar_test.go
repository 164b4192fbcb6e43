package agent

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// withSidecars is a pod with a sidecar, an init container, another sidecar and the main container c.
func withSidecars(v *view) {
	always := corev1.ContainerRestartPolicyAlways
	v.pod.Spec.InitContainers = []corev1.Container{
		{Name: "proxy", Image: "app:1", RestartPolicy: &always},
		{Name: "i", Image: "app:1"},
		{Name: "logger", Image: "app:1", RestartPolicy: &always},
	}
}

// serves adds a running container that its startup probe, if any, has found started.
func (v *view) serves(name string) *Container {
	c := v.has(name, 0, StateRunning, 0, 0)
	v.verdicts[c.ID] = verdict{started: true, ready: true}
	return c
}

func TestSidecars(t *testing.T) {
	is := func(v *view, policy corev1.RestartPolicy) { withSidecars(v); v.pod.Spec.RestartPolicy = policy }
	for _, c := range []struct {
		name string
		view func(*view)
		want string // verb and container
		at   time.Duration
	}{
		{"the first comes first", withSidecars, "create proxy", 0},
		{"and is waited for until it has started", func(v *view) { withSidecars(v); v.has("proxy", 0, StateRunning, 0, 0) }, "rest ", 0},
		{"before the next", func(v *view) { withSidecars(v); v.serves("proxy") }, "create i", 0},
		{"which has to end", func(v *view) { withSidecars(v); v.serves("proxy"); v.has("i", 0, StateRunning, 0, 0) }, "rest ", 0},
		{"before the one after it", func(v *view) { withSidecars(v); v.serves("proxy"); v.has("i", 0, StateExited, 0, 0) }, "create logger", 0},
		{"and then come the main ones", func(v *view) {
			withSidecars(v)
			v.serves("proxy")
			v.has("i", 0, StateExited, 0, 0)
			v.serves("logger")
		}, "create c", 0},
		{"one that ends while another starts is started again", func(v *view) {
			withSidecars(v)
			v.has("proxy", 0, StateExited, 0, 0)
			v.has("i", 0, StateRunning, 0, 0)
		}, "create proxy", 0},
		{"which does not wait for it", func(v *view) {
			withSidecars(v)
			v.has("proxy", 1, StateExited, 1, 0)
			v.has("i", 0, StateExited, 0, 0)
		}, "create logger", 0},
		{"also in a pod that never restarts", func(v *view) {
			is(v, corev1.RestartPolicyNever)
			v.has("proxy", 0, StateExited, 1, 0)
			v.serves("logger")
			v.serves("c")
		}, "create proxy", 0},
		{"with the usual wait", func(v *view) {
			is(v, corev1.RestartPolicyOnFailure)
			v.has("proxy", 1, StateExited, 0, 0)
			v.serves("logger")
			v.serves("c")
		}, "rest ", 10 * time.Second},
		{"one that its probe calls dead is stopped", func(v *view) {
			withSidecars(v)
			v.verdicts[v.serves("proxy").ID] = verdict{started: true, dead: "failed"}
			v.serves("logger")
			v.serves("c")
		}, "stop proxy", 0},
		{"one whose start failed does not hold up what runs", func(v *view) {
			withSidecars(v)
			v.has("proxy", 1, StateExited, 1, 0)
			v.serves("logger")
			v.has("c", 0, StateExited, 1, 0)
		}, "create c", 0},
		{"when the main ones have ended the others do too", func(v *view) {
			is(v, corev1.RestartPolicyNever)
			v.serves("proxy")
			v.has("logger", 0, StateExited, 0, 0)
			v.has("c", 0, StateExited, 0, 0)
		}, "stop proxy", 0},
		{"and do not begin again", func(v *view) {
			is(v, corev1.RestartPolicyOnFailure)
			v.has("proxy", 0, StateExited, 143, 0)
			v.has("logger", 0, StateExited, 143, 0)
			v.has("c", 0, StateExited, 0, 0)
		}, "rest ", 0},
		{"a failed init container is the pod's end", func(v *view) {
			is(v, corev1.RestartPolicyNever)
			v.serves("proxy")
			v.has("i", 0, StateExited, 1, 0)
		}, "stop proxy", 0},
		{"after a reboot all begin again in order", func(v *view) {
			withSidecars(v)
			for _, name := range []string{"proxy", "i", "logger", "c"} {
				v.before[v.has(name, 0, StateExited, 255, 0).ID] = true
			}
		}, "create proxy", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := aView(c.view)
			s := decide(v)
			name := find(v, s.id).Name
			if s.container != nil {
				name = s.container.Name
			}
			want := time.Time{}
			if c.at > 0 {
				want = noon.Add(c.at)
			}
			if got := string(s.verb) + " " + name; got != c.want || !s.at.Equal(want) {
				t.Errorf("%s at %s, want %s at %s", got, s.at, c.want, want)
			}
		})
	}
}

func TestSidecarsOutliveWhomTheyServe(t *testing.T) {
	v := aView(withSidecars)
	v.serves("proxy")
	second, main := v.serves("logger").ID, v.serves("c").ID
	for name, want := range map[string][]string{"c": nil, "logger": {main}, "proxy": {main, second}} {
		if got := v.outlives(name); !slices.Equal(got, want) {
			t.Errorf("%s outlives %q, want %q", name, got, want)
		}
	}
}

func TestTheStatusOfSidecars(t *testing.T) {
	all := func(v *view) {
		withSidecars(v)
		v.serves("proxy")
		v.has("i", 0, StateExited, 0, 0)
		v.serves("logger")
		v.serves("c")
	}
	for _, c := range []struct {
		name               string
		view               func(*view)
		phase              corev1.PodPhase
		initialized, ready string // the reason and message of the conditions, empty when they hold
		sidecar            string
	}{
		{"starting", func(v *view) { withSidecars(v); v.has("proxy", 0, StateRunning, 0, 0) }, corev1.PodPending,
			"containers with incomplete status: [proxy i logger]", "containers with unready status: [proxy logger c]", "running"},
		{"through", all, corev1.PodRunning, "", "", "running, ready"},
		{"down", func(v *view) { all(v); v.containers["proxy"] = nil; v.has("proxy", 0, StateExited, 1, 0) }, corev1.PodRunning,
			"", "containers with unready status: [proxy]", "terminated Error"},
		{"still stopping", func(v *view) {
			all(v)
			v.pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			v.containers["c"] = nil
			v.has("c", 0, StateExited, 0, 0)
		}, corev1.PodRunning, "", "containers with unready status: [c]", "running, ready"},
		{"over, whatever the sidecars' end", func(v *view) {
			all(v)
			v.pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
			clear(v.containers)
			v.has("proxy", 0, StateExited, 137, 0)
			v.has("i", 0, StateExited, 0, 0)
			v.has("logger", 1, StateExited, 1, 0)
			v.has("c", 0, StateExited, 0, 0)
		}, corev1.PodSucceeded, "", "PodCompleted", "terminated Error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := podStatus(aView(c.view), "192.0.2.1")
			say := func(kind corev1.PodConditionType) string {
				found := condition(&s, kind)
				if found.Status != corev1.ConditionTrue && found.Message == "" {
					return found.Reason
				}
				return found.Message
			}
			if s.Phase != c.phase || say(corev1.PodInitialized) != c.initialized || say(corev1.PodReady) != c.ready || said(s.InitContainerStatuses[0]) != c.sidecar {
				t.Errorf("%s, initialized: %q, ready: %q, sidecar: %s", s.Phase, say(corev1.PodInitialized), say(corev1.PodReady), said(s.InitContainerStatuses[0]))
			}
		})
	}
}

func TestRestartPoliciesOfContainers(t *testing.T) {
	rule := func(op corev1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) corev1.ContainerRestartRule {
		return corev1.ContainerRestartRule{
			Action:    corev1.ContainerRestartRuleActionRestart,
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: op, Values: codes},
		}
	}
	for _, c := range []struct {
		pod   corev1.RestartPolicy
		own   corev1.ContainerRestartPolicy
		rules []corev1.ContainerRestartRule
		code  int32
		want  bool
	}{
		{pod: "Never", own: "Always", code: 0, want: true},
		{pod: "Always", own: "Never", code: 1, want: false},
		{pod: "Always", own: "OnFailure", code: 0, want: false},
		{pod: "Never", own: "OnFailure", code: 1, want: true},
		{pod: "Never", own: "Never", rules: []corev1.ContainerRestartRule{rule("In", 42, 43)}, code: 43, want: true},
		{pod: "Never", own: "Never", rules: []corev1.ContainerRestartRule{rule("In", 42)}, code: 1, want: false},
		{pod: "Never", own: "Never", rules: []corev1.ContainerRestartRule{rule("NotIn", 0, 1)}, code: 2, want: true},
		{pod: "Never", own: "Never", rules: []corev1.ContainerRestartRule{rule("NotIn", 0, 1)}, code: 1, want: false},
		{pod: "OnFailure", code: 1, want: true},
	} {
		spec := &corev1.Container{Name: "c", RestartPolicyRules: c.rules}
		if c.own != "" {
			spec.RestartPolicy = &c.own
		}
		if got := policyRestarts(c.pod, spec, c.code); got != c.want {
			t.Errorf("pod %s, container %s, %d rules, exit code %d: %v", c.pod, c.own, len(c.rules), c.code, got)
		}
	}
}
