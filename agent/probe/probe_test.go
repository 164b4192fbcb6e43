package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 100<<10)) })
	mux.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/fail", http.StatusFound) })
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/asked", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "shop.example" || r.Header.Get("X-Probe") != "yes" || !strings.HasPrefix(r.UserAgent(), "kube-probe/") {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	return mux
}

// target is where a test server listens, with its port also as the port named http.
func target(t *testing.T, address string) (Target, intstr.IntOrString) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return Target{Host: func() string { return host }, Ports: map[string]int32{"http": int32(n)}}, intstr.FromInt32(int32(n))
}

func TestHTTP(t *testing.T) {
	plain, secure := httptest.NewServer(site()), httptest.NewTLSServer(site())
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	address := func(s *httptest.Server) string { u, _ := url.Parse(s.URL); return u.Host }
	to, port := target(t, address(plain))
	toSecure, securePort := target(t, address(secure))
	headers := []corev1.HTTPHeader{{Name: "host", Value: "shop.example"}, {Name: "X-Probe", Value: "yes"}}
	for _, c := range []struct {
		to   Target
		get  corev1.HTTPGetAction
		want string // empty: it succeeds
	}{
		{to, corev1.HTTPGetAction{Path: "/ok", Port: port}, ""},
		{to, corev1.HTTPGetAction{Path: "ok", Port: intstr.FromString("http")}, ""},
		{to, corev1.HTTPGetAction{Path: "/ok", Port: intstr.FromString("admin")}, `no port named "admin"`},
		{to, corev1.HTTPGetAction{Path: "/fail", Port: port}, "HTTP probe failed with statuscode: 500"},
		{to, corev1.HTTPGetAction{Path: "/moved", Port: port}, "HTTP probe failed with statuscode: 500"},
		{to, corev1.HTTPGetAction{Path: "/elsewhere", Port: port}, ""},
		{to, corev1.HTTPGetAction{Path: "/loop", Port: port}, "stopped after 10 redirects"},
		{to, corev1.HTTPGetAction{Path: "/slow", Port: port}, "context deadline exceeded"},
		{to, corev1.HTTPGetAction{Path: "/asked", Port: port, HTTPHeaders: headers}, ""},
		{toSecure, corev1.HTTPGetAction{Path: "/ok", Port: securePort, Scheme: corev1.URISchemeHTTPS}, ""},
		{toSecure, corev1.HTTPGetAction{Path: "/ok", Port: securePort}, "statuscode: 400"},
	} {
		probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &c.get}, TimeoutSeconds: 30}
		if c.get.Path == "/slow" {
			probe.TimeoutSeconds = 1
		}
		ok, message := Check(context.Background(), probe, c.to)
		if ok != (c.want == "") || !strings.Contains(message, c.want) {
			t.Errorf("%s %s: %v, %.200q, want %q", c.get.Scheme, c.get.Path, ok, message, c.want)
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to, port := target(t, l.Addr().String())
	p := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}, TimeoutSeconds: 30}
	if ok, message := Check(context.Background(), p, to); !ok {
		t.Error(message)
	}
	_ = l.Close()
	if ok, message := Check(context.Background(), p, to); ok || !strings.Contains(message, "connection refused") {
		t.Errorf("%v, %q", ok, message)
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, state := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, state)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	to, port := target(t, l.Addr().String())
	service := "shop"
	p := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: port.IntVal}}, TimeoutSeconds: 30}
	named := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: port.IntVal, Service: &service}}, TimeoutSeconds: 30}
	if ok, message := Check(context.Background(), p, to); !ok {
		t.Error(message)
	}
	if ok, message := Check(context.Background(), named, to); ok || !strings.Contains(message, "unknown service") {
		t.Errorf("%v, %q", ok, message)
	}
	state.SetServingStatus(service, healthpb.HealthCheckResponse_NOT_SERVING)
	if ok, message := Check(context.Background(), named, to); ok || !strings.Contains(message, "NOT_SERVING") {
		t.Errorf("%v, %q", ok, message)
	}
	server.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if ok, message := Check(context.Background(), p, to); ok || !strings.Contains(message, "connection refused") {
		t.Errorf("%v, %q", ok, message)
	}
}

func TestExec(t *testing.T) {
	for _, c := range []struct {
		name string
		exec func(ctx context.Context, command []string) (int, string, error)
		want string
	}{
		{"good", func(context.Context, []string) (int, string, error) { return 0, "", nil }, ""},
		{"bad", func(context.Context, []string) (int, string, error) { return 1, "cat: /alive: no", nil }, "cat: /alive: no"},
		{"broken", func(context.Context, []string) (int, string, error) { return 0, "", errors.New("no such program") }, "no such program"},
		{"slow", func(ctx context.Context, _ []string) (int, string, error) { <-ctx.Done(); return 0, "", ctx.Err() }, "timed out"},
	} {
		probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"check"}}}, TimeoutSeconds: 30}
		if c.name == "slow" {
			probe.TimeoutSeconds = 1
		}
		ok, message := Check(context.Background(), probe, Target{Exec: c.exec})
		if ok != (c.want == "") || !strings.Contains(message, c.want) {
			t.Errorf("%s: %v, %q", c.name, ok, message)
		}
	}
}

func TestThresholds(t *testing.T) {
	p := &corev1.Probe{SuccessThreshold: 2, FailureThreshold: 3}
	var c counter
	for i, step := range []struct{ ok, settled bool }{
		{false, false}, {false, false}, {true, false}, {false, false}, {false, false}, {false, true}, {false, true}, {true, false}, {true, true},
	} {
		if got := c.add(step.ok, p); got != step.settled {
			t.Errorf("check %d: settled %v, want %v", i, got, step.settled)
		}
	}
}

func TestALoopEndsWhenItIsToldTo(t *testing.T) {
	p := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{}}, FailureThreshold: 1}
	to := Target{Exec: func(context.Context, []string) (int, string, error) { return 1, "", nil }}
	ctx, cancel := context.WithCancel(context.Background())
	heard := 0
	Loop(ctx, p, time.Now(), to, func(v Verdict) bool { heard++; return !v.Settled })
	// As one has it that was started before the clock was set back.
	Loop(ctx, p, time.Now().Add(time.Hour), to, func(v Verdict) bool { heard++; return !v.Settled })
	if heard != 2 {
		t.Errorf("%d reports", heard)
	}
	cancel()
	Loop(ctx, p, time.Now().Add(time.Hour), to, func(Verdict) bool { t.Error("a report after the end"); return false })
}
