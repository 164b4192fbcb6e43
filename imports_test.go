package covey_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "covey.dev/covey/"

// rules say what the packages below a folder may import of covey's own. The most specific folder counts.
var rules = []struct {
	folder, why string
	may         []string
}{
	{"cmd/", "the command line hands the real runtime to the node and is a client of the API otherwise; a simulation needs no cluster", []string{"cmd/", "node", "api/client", "agent/containerd", "scheduler/autoscale/simulate"}},
	{"node/identity", "keys and certificates know nothing of the cluster", nil},
	{"node/port", "the port knows protocols by name only", nil},
	{"node", "the node builds all parts, but the runtime is handed to it", []string{"node/", "api", "api/", "scheduler", "scheduler/autoscaler", "scheduler/controller", "store", "store/protocol", "agent", "agent/memory", "agent/netlist"}},
	{"api/client", "a client knows the API from outside", nil},
	{"api/kind", "a kind is pure: no store, no server", []string{"api/kind"}},
	{"api", "the server speaks for the store", []string{"api/", "store"}},
	{"scheduler/controller", "decisions are pure: no store, no clock, no I/O", []string{"scheduler/controller"}},
	{"scheduler/placement", "placement is pure: no store, no clock, no I/O", []string{"scheduler/placement"}},
	{"scheduler/autoscale", "the rule is pure: no store, no clock, no I/O", []string{"scheduler/autoscale"}},
	{"scheduler", "the scheduler decides on what is stored", []string{"scheduler/", "store"}},
	{"store", "the state knows nothing of who uses it", []string{"store/"}},
	{"agent", "a worker carries no cluster state", []string{"agent", "agent/"}},
	{"examples", "examples stand alone", nil},
}

// impure packages may not be imported by pure ones.
var impure = []string{"time/tzdata", "os", "net", "net/http", "os/exec"}

type pkg struct {
	ImportPath string
	Imports    []string
	// Test imports may reach further: a test of a room may stand the next room up.
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		list = append(list, p)
	}
}

func below(name, folder string) bool {
	folder = strings.TrimSuffix(folder, "/")
	return name == folder || strings.HasPrefix(name, folder+"/")
}

func TestWhoMayImportWhom(t *testing.T) {
	for _, p := range packages(t) {
		i := slices.IndexFunc(rules, func(r struct {
			folder, why string
			may         []string
		}) bool {
			return below(p.ImportPath, r.folder)
		})
		if i < 0 {
			continue
		}
		for _, imported := range p.Imports {
			name, ours := strings.CutPrefix(imported, module)
			if !ours || below(name, rules[i].folder) {
				continue
			}
			allowed := slices.ContainsFunc(rules[i].may, func(may string) bool {
				return name == may || strings.HasSuffix(may, "/") && below(name, may)
			})
			if !allowed {
				t.Errorf("%s imports %s: %s", p.ImportPath, name, rules[i].why)
			}
		}
	}
}

func TestDecisionsArePure(t *testing.T) {
	for _, p := range packages(t) {
		if !below(p.ImportPath, "scheduler/controller") && !below(p.ImportPath, "scheduler/placement") && p.ImportPath != "scheduler/autoscale" {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains(impure, imported) {
				t.Errorf("%s imports %s: decisions get what they need handed in", p.ImportPath, imported)
			}
		}
	}
}

func TestThereAreNoDrawers(t *testing.T) {
	for _, p := range packages(t) {
		switch path.Base(p.ImportPath) {
		case "util", "utils", "common", "helpers", "misc":
			t.Errorf("package %s: a package is named after its one job", p.ImportPath)
		}
	}
}
