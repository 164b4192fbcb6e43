package e2e

import (
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestManagersDisagree is server-side apply by two who want different things.
func TestManagersDisagree(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	with := func(replicas string) string {
		return strings.Replace(shell("web", sleeps), "spec:", "spec:\n  replicas: "+replicas, 1)
	}
	replicas := func() string {
		t.Helper()
		return n.Kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
	}
	n.Apply(with("0"), "--server-side", "--field-manager=a")
	r := n.Pipe(with("1"), "kubectl", "apply", "-f", "-", "--server-side", "--field-manager=b")
	if r.Code != 1 || !strings.Contains(r.Stderr, `conflict with "a"`) || !strings.Contains(r.Stderr, ".spec.replicas") {
		t.Errorf("apply against another manager: %+v", r)
	}
	if got := replicas(); got != "0" {
		t.Errorf("%s replicas after a conflict, want 0", got)
	}
	n.Apply(with("1"), "--server-side", "--field-manager=b", "--force-conflicts")
	if got := replicas(); got != "1" {
		t.Errorf("%s replicas after --force-conflicts, want 1", got)
	}
	// From client-side to server-side apply, as users come.
	n.Kubectl("delete", "deployment", "web")
	n.Apply(with("0"))
	n.Apply(with("0"), "--server-side")
	n.Apply(strings.Replace(with("0"), "labels: {app: web}}", "labels: {app: web, tier: front}}", 1), "--server-side")
	n.Apply(with("0"), "--server-side")
	if out := n.Kubectl("get", "deployment", "web", "--show-labels"); strings.Contains(out, "tier=front") {
		t.Errorf("a label that is no longer applied is still there:\n%s", out)
	}
}

// TestFieldsWithoutEffectAreNamed has covey keep its word that nothing is ignored in silence.
func TestFieldsWithoutEffectAreNamed(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	manifest := strings.Replace(shell("web", sleeps), "containers:", "subdomain: shops\n      containers:", 1)
	for _, program := range []string{"kubectl", "covey"} {
		r := n.Pipe(manifest, program, "apply", "-f", "-")
		if r.Code != 0 || !strings.Contains(r.Stderr, "Warning: ") || !strings.Contains(r.Stderr, "subdomain") {
			t.Errorf("%s apply: %+v", program, r)
		}
		n.Kubectl("delete", "deployment", "web")
	}
}
