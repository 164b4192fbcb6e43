package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"covey.dev/covey/api"
	"covey.dev/covey/api/audit"
)

// auditedServer is a server with an audit log; read ends the log and gives its events.
func auditedServer(t *testing.T, policy string, change ...func(*api.Config)) (s *server, read func() (events []auditv1.Event, raw string)) {
	t.Helper()
	dir := t.TempDir()
	cfg := audit.Config{Path: filepath.Join(dir, "audit.log"), Logger: slog.New(slog.DiscardHandler)}
	if policy != "" {
		path := filepath.Join(dir, "policy.yaml")
		err := os.WriteFile(path, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n"+policy), 0o600)
		if err == nil {
			cfg.Policy, err = audit.ReadPolicy(path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	log, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	s = start(t, append(change, func(c *api.Config) { c.Audit = log })...)
	return s, func() (events []auditv1.Event, raw string) {
		s.close()
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(cfg.Path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(content) {
			var e auditv1.Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			events = append(events, e)
		}
		return events, string(content)
	}
}

func TestAuditLog(t *testing.T) {
	s, read := auditedServer(t, "")
	secrets := strings.Replace(configMaps, "configmaps", "secrets", 1)
	a := s.do("POST", secrets, `{"metadata":{"name":"s"},"stringData":{"k":"hidden"}}`, "Audit-ID: mine", "User-Agent: tester/1", "X-Forwarded-For: 192.0.2.7")
	if a.code != http.StatusCreated || a.header.Get("Audit-ID") != "mine" {
		t.Fatalf("%d %v", a.code, a.header)
	}
	s.do("PATCH", secrets+"/s", `{"stringData":{"k":"hidden too"}}`, merge, "Audit-ID: patch")
	s.do("GET", secrets+"/none?limit=1", "", "Audit-ID: missing")
	s.do("GET", "/livez", "", "Audit-ID: health")
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.client(true).CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	cancel()
	events, raw := read()
	if strings.Contains(raw, "hidden") || strings.Contains(raw, "aGlkZGVu") {
		t.Error("a secret's content is in the log")
	}
	if strings.Contains(raw, `"health"`) {
		t.Error("a request for the server's health is in the log")
	}
	stages := map[string][]auditv1.Stage{}
	for _, e := range events {
		id := string(e.AuditID)
		if e.Verb == "watch" {
			id = "watch"
		}
		stages[id] = append(stages[id], e.Stage)
		if e.APIVersion != "audit.k8s.io/v1" || e.Kind != "Event" || e.Level != auditv1.LevelMetadata || e.User.Username != "admin" {
			t.Errorf("%+v", e)
		}
		if e.Stage != auditv1.StageResponseComplete {
			continue
		}
		switch id {
		case "mine":
			ref := auditv1.ObjectReference{Resource: "secrets", Namespace: "default", Name: "s", APIVersion: "v1"}
			if e.Verb != "create" || *e.ObjectRef != ref || e.ResponseStatus.Code != 201 || e.UserAgent != "tester/1" ||
				strings.Join(e.SourceIPs, " ") != "192.0.2.7 127.0.0.1" || e.RequestURI != secrets || e.Annotations["authorization.k8s.io/decision"] != "allow" {
				t.Errorf("%+v of %+v", e, e.ObjectRef)
			}
		case "missing":
			if e.Verb != "get" || e.ResponseStatus.Code != 404 || e.ResponseStatus.Reason != "NotFound" || e.RequestURI != secrets+"/none?limit=1" {
				t.Errorf("%+v", e)
			}
		}
	}
	both := "[RequestReceived ResponseComplete]"
	for id, want := range map[string]string{"mine": both, "missing": both, "patch": both, "watch": "[RequestReceived ResponseStarted ResponseComplete]"} {
		if got := stagesOf(stages[id]); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

func stagesOf(stages []auditv1.Stage) string {
	words := make([]string, len(stages))
	for i, s := range stages {
		words[i] = string(s)
	}
	return "[" + strings.Join(words, " ") + "]"
}

func TestAuditedBodies(t *testing.T) {
	s, read := auditedServer(t, `omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}]}
`)
	cm := configMap("a", nil)
	cm.Data = map[string]string{"k": "in protobuf"}
	if _, err := s.client(true).CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.must(http.StatusOK, "PATCH", configMaps+"/a", `{"data":{"k":"patched"}}`, merge)
	events, _ := read()
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	var sent, answered corev1.ConfigMap
	if err := json.Unmarshal(events[0].RequestObject.Raw, &sent); err != nil || sent.Data["k"] != "in protobuf" {
		t.Errorf("%v: %s", err, events[0].RequestObject.Raw)
	}
	if err := json.Unmarshal(events[0].ResponseObject.Raw, &answered); err != nil || answered.UID == "" || answered.ManagedFields != nil {
		t.Errorf("%v: %s", err, events[0].ResponseObject.Raw)
	}
	if got := string(events[1].RequestObject.Raw); got != `{"data":{"k":"patched"}}` || events[1].Verb != "patch" {
		t.Errorf("%s of %s", got, events[1].Verb)
	}
}

// panicNode panics instead of answering.
type panicNode struct{}

func (panicNode) Handler(string) (http.Handler, error) { panic("oh") }

func TestAuditOfAPanic(t *testing.T) {
	s, read := auditedServer(t, "omitStages: [RequestReceived]\nrules: [{level: Metadata, resources: [{group: '', resources: [pods/log]}]}]\n",
		func(c *api.Config) { c.Nodes = panicNode{} })
	s.must(http.StatusCreated, "POST", pods, podOn("n1"))
	s.must(http.StatusInternalServerError, "GET", pods+"/p/log?container=a", "")
	events, _ := read()
	if len(events) != 2 || events[1].Stage != auditv1.StagePanic || events[1].ResponseStatus.Code != 500 {
		t.Errorf("%+v", events)
	}
}
