package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// shell is the manifest of a deployment whose pods run a script in busybox's shell. The script must end on SIGTERM if the
// test is not to wait: see sleeps.
func shell(name, script string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox:1
        command: [sh, -c, %[2]q]
`, name, script)
}

// sleeps is the end of a script that goes on until it is told to stop.
const sleeps = `trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done`

// pod is the manifest of a pod; spec is indented by the caller as under "spec:", with two spaces.
func pod(name, spec string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %[1]s, labels: {app: %[1]s}}\nspec:\n  terminationGracePeriodSeconds: 1\n%[2]s\n", name, spec)
}

// unhurried gives the pod of such a manifest time to end by itself.
func unhurried(manifest string) string {
	return strings.Replace(manifest, "terminationGracePeriodSeconds: 1\n", "terminationGracePeriodSeconds: 60\n", 1)
}

// has fails the test for each text that is not there.
func has(t *testing.T, what, in string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(in, text) {
			t.Errorf("%s: no %q in:\n%s", what, text, in)
		}
	}
}

func contains(content []byte, text string) bool { return strings.Contains(string(content), text) }

// contain says which text is not there.
func contain(in string, texts ...string) error {
	for _, text := range texts {
		if !strings.Contains(in, text) {
			return fmt.Errorf("no %q in:\n%s", text, in)
		}
	}
	return nil
}

func sameFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s has %q (%v), want %q", path, got, err, want)
	}
}
