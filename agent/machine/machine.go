package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Level is how much a finding matters.
type Level string

// The levels of findings.
const (
	OK      Level = "ok"
	Warning Level = "warning" // pods run, but not as well as they could
	Missing Level = "missing" // pods cannot run
)

// Finding is what was found about one thing that pods need.
type Finding struct {
	Check  string `json:"check"` // what was looked at: "cgroups"
	Level  Level  `json:"level"`
	Found  string `json:"found"`            // "cgroup v1 without the memory controller"
	Remedy string `json:"remedy,omitempty"` // what to do about it; empty where there is nothing to do
}

func (f Finding) String() string {
	if f.Remedy == "" {
		return f.Check + ": " + f.Found
	}
	return fmt.Sprintf("%s: %s; %s", f.Check, f.Found, f.Remedy)
}

func ok(check, found string, args ...any) Finding {
	return Finding{Check: check, Level: OK, Found: fmt.Sprintf(found, args...)}
}

// Machine is where to look. The zero value of Root is the machine itself.
type Machine struct {
	Root    string // of the file system; "/" but in tests
	DataDir string // of the node; need not exist yet
	Now     time.Time
}

// Check looks at all that pods need, in the order in which one would repair it. What can only be found out by trying is left out for a
// user who may not try.
func (m Machine) Check() []Finding {
	user := m.user()
	findings := []Finding{user, m.cgroups()}
	if user.Level == OK {
		findings = append(findings, m.overlay(), m.network(), m.vxlan(), m.forwarding())
	}
	return append(findings, m.seccomp(), m.clock(), m.disk(), m.programs())
}

func (m Machine) path(name string) string { return filepath.Join("/", m.Root, name) }

// existing is the nearest directory above a path that is there.
func existing(path string) string {
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}
