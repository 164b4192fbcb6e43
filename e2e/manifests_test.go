package e2e

import (
	"fmt"
	"strings"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestBadManifests gives each to kubectl and to covey: both say what is wrong, nothing is made, and the server goes on.
func TestBadManifests(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	good := shell("web", sleeps)
	bad := map[string]struct {
		manifest string
		says     []string
	}{
		"a number where a text belongs": {strings.Replace(good, "image: busybox:1", "image: 42", 1), []string{"containers", "image", "string"}},
		"a text where a number belongs": {strings.Replace(good, "spec:", "spec:\n  replicas: many", 1), []string{"replicas"}},
		"an unknown field":              {strings.Replace(good, "image:", "imagee: x\n        image:", 1), []string{"imagee"}},
		"an unknown kind":               {strings.Replace(good, "kind: Deployment", "kind: Deploiment", 1), []string{"Deploiment"}},
		"an unknown version":            {strings.Replace(good, "apps/v1", "apps/v9", 1), []string{"apps/v9"}},
		"negative replicas":             {strings.Replace(good, "spec:", "spec:\n  replicas: -1", 1), []string{"spec.replicas", "-1", "must be greater than or equal to 0"}},
		"a selector that does not match": {strings.Replace(good, "matchLabels: {app: web}", "matchLabels: {app: other}", 1),
			[]string{"spec.template.metadata.labels", "`selector` does not match template `labels`"}},
		"no selector":          {strings.Replace(good, "selector: {matchLabels: {app: web}}", "", 1), []string{"selector"}},
		"no image":             {strings.Replace(good, "image: busybox:1", "imagePullPolicy: Always", 1), []string{"containers[0].image", "Required"}},
		"a bad name":           {strings.Replace(good, "metadata: {name: web,", "metadata: {name: Not_A_Name,", 1), []string{"Not_A_Name", "RFC 1123"}},
		"not YAML":             {"kind: [", []string{"yaml"}},
		"not an object":        {"42", []string{"cannot unmarshal"}},
		"a refused field":      {strings.Replace(good, "containers:", "resourceClaims: [{name: gpu, resourceClaimName: gpu}]\n      containers:", 1), []string{"resourceClaims"}},
		"a laugh of a billion": {laughs(), []string{"alias"}},
	}
	for _, program := range []string{"kubectl", "covey"} {
		for name, c := range bad {
			t.Run(program+" "+name, func(t *testing.T) {
				for _, side := range [][]string{{}, {"--server-side"}} {
					r := n.Pipe(c.manifest, program, append([]string{"apply", "-f", "-"}, side...)...)
					if r.Code != 1 {
						t.Errorf("%v: exit status %d, want 1: %s", side, r.Code, r.Output())
					}
					if len(r.Output()) > 4000 {
						t.Errorf("%v: an error of %d bytes", side, len(r.Output()))
					}
					switch name {
					case "not an object", "not YAML", "a laugh of a billion": // whose parser words these is the client's own matter
						if r.Stderr == "" {
							t.Errorf("%v: it says nothing", side)
						}
					default:
						for _, says := range c.says {
							if !strings.Contains(strings.ToLower(r.Output()), strings.ToLower(says)) {
								t.Errorf("%v: no %q in: %s", side, says, r.Output())
							}
						}
					}
					if program == "covey" {
						break // it always applies server-side
					}
				}
			})
		}
	}
	if out := n.Kubectl("get", "all", "-A", "-o", "name"); out != "" {
		t.Errorf("made of bad manifests: %s", out)
	}
}

func TestHugeManifests(t *testing.T) {
	t.Parallel()
	n := harness.New(t)
	n.Start()
	pid := n.PID()
	huge := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: huge}\ndata:\n  a: " + strings.Repeat("x", 10<<20) + "\n"
	file := n.File("huge.yaml", huge)
	deep := n.File("deep.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep}\ndata: "+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"\n")
	for _, args := range [][]string{
		{"kubectl", "apply", "-f", file},
		{"kubectl", "apply", "--server-side", "-f", file},
		{"kubectl", "create", "-f", file},
		{"kubectl", "create", "--validate=false", "-f", deep},
		{"covey", "apply", "-f", file},
		{"covey", "apply", "-f", deep},
	} {
		r := n.Pipe("", args[0], args[1:]...)
		if r.Code != 1 || r.Stderr == "" || len(r.Output()) > 4000 {
			t.Errorf("%s: exit status %d and %d bytes: %.400s", args, r.Code, len(r.Output()), r.Output())
		}
	}
	// The bodies as they are, without a client that looks at them first.
	for name, body := range map[string]string{"10 MB": huge, "a laugh of a billion": laughs()} {
		code, answer := n.API("POST", "/api/v1/namespaces/default/configmaps", "application/yaml", body)
		if code != 413 && code != 400 {
			t.Errorf("POST of %s: %d %.400s", name, code, answer)
		}
		has(t, "POST of "+name, answer, `"kind":"Status"`, `"message":`)
	}
	if n.PID() != pid {
		t.Error("covey was started again")
	}
	n.Kubectl("create", "configmap", "after")
	if out := n.Kubectl("get", "configmaps", "-o", "name", "--field-selector", "metadata.name!=kube-root-ca.crt"); out != "configmap/after\n" {
		t.Errorf("config maps: %s", out)
	}
}

// laughs is YAML of a few hundred bytes that stands for a billion words.
func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for i := 1; i < 10; i++ {
		ref := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Join([]string{ref, ref, ref, ref, ref, ref, ref, ref, ref, ref}, ", "))
	}
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: laughs}\n" + b.String()
}
