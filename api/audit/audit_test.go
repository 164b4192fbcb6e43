package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const policy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [quiet]
- level: None
  nonResourceURLs: ["/openapi*", /version]
- level: RequestResponse
  verbs: [create, update]
  namespaces: [prod]
  resources: [{group: "", resources: [configmaps, pods/*]}]
- level: Request
  userGroups: [team]
  resources: [{group: apps}]
  omitStages: [ResponseStarted]
- level: Request
  resources: [{group: "", resources: [secrets], resourceNames: [s]}]
- level: Metadata
  resources: [{group: "", resources: ["*/status"]}]
- level: Metadata
  nonResourceURLs: ["/"]
`

func TestPolicy(t *testing.T) {
	p, err := ReadPolicy(write(t, policy))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		a    Attributes
		want auditv1.Level
		omit int
	}{
		{"by user", Attributes{User: "quiet", Resource: "pods"}, auditv1.LevelNone, 0},
		{"by path", Attributes{Path: "/openapi/v3"}, auditv1.LevelNone, 0},
		{"by whole path", Attributes{Path: "/"}, auditv1.LevelMetadata, 1},
		{"no path", Attributes{Path: "/versions"}, auditv1.LevelNone, 0},
		{"by namespace, verb and resource", Attributes{Verb: "create", Namespace: "prod", Resource: "configmaps"}, auditv1.LevelRequestResponse, 1},
		{"another verb", Attributes{Verb: "get", Namespace: "prod", Resource: "configmaps"}, auditv1.LevelNone, 0},
		{"any subresource", Attributes{Verb: "create", Namespace: "prod", Resource: "pods", Subresource: "exec"}, auditv1.LevelRequestResponse, 1},
		{"but not the resource", Attributes{Verb: "create", Namespace: "prod", Resource: "pods"}, auditv1.LevelNone, 0},
		{"by group of users", Attributes{Groups: []string{"x", "team"}, APIGroup: "apps", Resource: "deployments"}, auditv1.LevelRequest, 2},
		{"by name", Attributes{Resource: "secrets", Name: "s"}, auditv1.LevelRequest, 1},
		{"another name", Attributes{Resource: "secrets", Name: "t"}, auditv1.LevelNone, 0},
		{"status of anything", Attributes{Resource: "nodes", Subresource: "status"}, auditv1.LevelMetadata, 1},
	} {
		d := p.Decide(&c.a)
		if d.Level != c.want || d.Level != auditv1.LevelNone && len(d.OmitStages) != c.omit {
			t.Errorf("%s: %v, want %s without %d stages", c.name, d, c.want, c.omit)
		}
	}
	if d := Metadata().Decide(&Attributes{Path: "/livez/ping"}); d.Level != auditv1.LevelNone {
		t.Errorf("without a policy, health: %v", d)
	}
	if d := Metadata().Decide(&Attributes{Resource: "secrets"}); d.Level != auditv1.LevelMetadata {
		t.Errorf("without a policy, secrets: %v", d)
	}
}

func TestPoliciesThatDoNotHold(t *testing.T) {
	const head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
	for content, want := range map[string]string{
		"kind: Policy\nrules: [{level: None}]\n": "want a Policy of audit.k8s.io/v1",
		head:                                     "rules: there is none",
		head + "rules: [{level: All}]\n":         `rules[0].level: "All" is none of`,
		head + "rules: [{level: None, omitStages: [Start]}]\n":                    `rules[0].omitStages: "Start"`,
		head + "rules: [{level: None, nonResourceURLs: [x]}]\n":                   `rules[0].nonResourceURLs: "x"`,
		head + "rules: [{level: None, nonResourceURLs: [/x], namespaces: [a]}]\n": "cannot be about these and",
		head + "rules: [{level: None, verb: [get]}]\n":                            `unknown field "rules[0].verb"`,
		head + "rules: [{level: None}]\nomitStages: [x]\n":                        `omitStages: "x"`,
	} {
		if _, err := ReadPolicy(write(t, content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
}

// run writes what requests leave, and returns when that is done.
func run(t *testing.T, l *Log, requests int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	for i := range requests {
		rec := l.Begin(&Request{ID: fmt.Sprint(i), Attributes: Attributes{Verb: "get", Resource: "pods"}, Received: time.Now()})
		rec.Completed(200, time.Now())
	}
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "audit.log")
	for range 2 { // it is taken up again
		l, err := Open(Config{Path: path, MaxBytes: 4000, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		run(t, l, 50)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != keptFiles {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		size := 0
		for lines.Scan() {
			var e auditv1.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.ObjectRef.Resource != "pods" {
				t.Errorf("%s: %v: %s", name, err, lines.Text())
			}
			size += len(lines.Bytes()) + 1
		}
		if size == 0 || size > 4000 {
			t.Errorf("%s has %d bytes", name, size)
		}
		_ = f.Close()
	}
}

// buffer is a log's destination in memory.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestAFullDiskHoldsNobodyUp(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	var said buffer
	l, err := Open(Config{Path: "/dev/full", Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	run(t, l, 100)
	if n := strings.Count(said.String(), "the audit log cannot be written"); n != 1 {
		t.Errorf("it was said %d times: %s", n, said.String())
	}
}

// Nobody writes: what does not fit is dropped and counted.
func TestASlowDiskHoldsNobodyUp(t *testing.T) {
	var said buffer
	l, err := Open(Config{Path: filepath.Join(t.TempDir(), "audit.log"), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	run(t, l, waiting) // each request leaves two events
	if want := fmt.Sprintf("events=%d", waiting); !strings.Contains(said.String(), want) {
		t.Errorf("%q, want %s", said.String(), want)
	}
}
