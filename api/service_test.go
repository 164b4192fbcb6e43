package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/api"
	"covey.dev/covey/store"
)

const services = "/api/v1/namespaces/default/services"

// service is a Service of these fields beside a port and a selector.
func service(name, fields string) string {
	return `{"metadata":{"name":"` + name + `"},"spec":{` + fields + `"selector":{"a":"b"},"ports":[{"port":80}]}}`
}

func (s *server) service(method, path, body string, headers ...string) *corev1.Service {
	s.Helper()
	a := s.do(method, path, body, headers...)
	var out corev1.Service
	if err := json.Unmarshal(a.body, &out); err != nil || a.code >= 300 {
		s.Fatalf("%s %s: %d %s", method, path, a.code, a.body)
	}
	return &out
}

func TestServicesGetAddressesAndPorts(t *testing.T) {
	s := start(t)
	plain := s.service("POST", services, service("plain", ""))
	if !strings.HasPrefix(plain.Spec.ClusterIP, "10.43.") || plain.Spec.ClusterIPs[0] != plain.Spec.ClusterIP ||
		*plain.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack || plain.Spec.IPFamilies[0] != corev1.IPv4Protocol {
		t.Errorf("%+v", plain.Spec)
	}
	if headless := s.service("POST", services, service("headless", `"clusterIP":"None",`)); headless.Spec.ClusterIP != "None" {
		t.Errorf("%+v", headless.Spec)
	}
	chosen := s.service("POST", services, service("chosen", `"clusterIP":"10.43.0.10","type":"NodePort",`))
	if port := chosen.Spec.Ports[0].NodePort; chosen.Spec.ClusterIP != "10.43.0.10" || port < 30000 || port > 32767 {
		t.Errorf("%+v", chosen.Spec)
	}
	for _, c := range []struct{ name, fields, want string }{
		{"taken", `"clusterIP":"10.43.0.10",`, "failed to allocate IP 10.43.0.10: provided IP is already allocated"},
		{"outside", `"clusterIP":"192.0.2.1",`, "is not in the valid range. The range of valid IPs is 10.43.0.0/16"},
		{"dual", `"ipFamilyPolicy":"RequireDualStack",`, "this cluster is not configured for dual-stack services"},
		{"six", `"ipFamilies":["IPv6"],`, "spec.ipFamilies[0]: Invalid value: \\\"IPv6\\\": not configured on this cluster"},
	} {
		if a := s.do("POST", services, service(c.name, c.fields)); a.code != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), c.want) {
			t.Errorf("%s: %d %s, want %s", c.name, a.code, a.body, c.want)
		}
	}
	port := fmt.Sprintf(`{"metadata":{"name":"port"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":%d}]}}`, chosen.Spec.Ports[0].NodePort)
	if a := s.do("POST", services, port); !strings.Contains(string(a.body), "provided port is already allocated") {
		t.Errorf("%d %s", a.code, a.body)
	}

	// What was deleted is free again.
	s.must(http.StatusOK, "DELETE", services+"/chosen", "")
	s.service("POST", services, service("again", `"clusterIP":"10.43.0.10",`))
}

func TestServicesThatAreMadeAtOnceGetAddressesOfTheirOwn(t *testing.T) {
	s := start(t)
	var mu sync.Mutex
	owner := map[string]string{}
	var making sync.WaitGroup
	for i := range 8 {
		making.Go(func() {
			name := fmt.Sprint("s", i)
			a := s.do("POST", services, service(name, `"type":"NodePort",`))
			var out corev1.Service
			if err := json.Unmarshal(a.body, &out); err != nil || a.code != http.StatusCreated {
				t.Errorf("%d %s", a.code, a.body)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, got := range []string{out.Spec.ClusterIP, fmt.Sprint(out.Spec.Ports[0].NodePort)} {
				if other := owner[got]; other != "" {
					t.Errorf("%s and %s both have %s", name, other, got)
				}
				owner[got] = name
			}
		})
	}
	making.Wait()
	// One address is wanted by all: one gets it.
	won := make(chan string, 8)
	for i := range 8 {
		making.Go(func() {
			if a := s.do("POST", services, service(fmt.Sprint("w", i), `"clusterIP":"10.43.0.99",`)); a.code == http.StatusCreated {
				won <- "one"
			}
		})
	}
	making.Wait()
	if len(won) != 1 {
		t.Errorf("%d Services got the same address", len(won))
	}
}

// raced is a store that has something happen once, between what a transaction reads and what it writes.
type raced struct {
	api.Store
	between atomic.Pointer[func()]
}

func (r *raced) Update(ctx context.Context, fn func(*store.Tx) error) (uint64, error) {
	return r.Store.Update(ctx, func(tx *store.Tx) error {
		err := fn(tx)
		if between := r.between.Swap(nil); between != nil {
			(*between)()
		}
		return err
	})
}

// A Service that had the port takes it again, while another one sees that it is free.
func TestAPortIsNotTakenByTwoAtOnce(t *testing.T) {
	const port = `"type":"NodePort","ports":[{"port":80,"nodePort":30080}]`
	named := func(name string) string { return `{"metadata":{"name":"` + name + `"},"spec":{` + port + `}}` }
	type taking struct{ method, path, body string }
	for _, c := range []struct {
		name   string
		letGo  taking
		retake taking
	}{
		{"made again", taking{"DELETE", services + "/a", ""}, taking{"POST", services, named("a")}},
		{"changed back", taking{"PATCH", services + "/a", `{"spec":{"type":"ClusterIP","ports":[{"port":80}]}}`}, taking{"PATCH", services + "/a", `{"spec":{` + port + `}}`}},
	} {
		for _, otherFirst := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", other first ", otherFirst), func(t *testing.T) {
				st := &raced{}
				s := start(t, func(cfg *api.Config) { st.Store, cfg.Store = cfg.Store, st })
				do := func(w taking) answer {
					if w.method == "PATCH" {
						return s.do(w.method, w.path, w.body, merge)
					}
					return s.do(w.method, w.path, w.body)
				}
				first, second := c.retake, taking{"POST", services, named("b")}
				if otherFirst {
					first, second = second, first
				}
				s.must(http.StatusCreated, "POST", services, named("a"))
				if a := do(c.letGo); a.code != http.StatusOK {
					t.Fatalf("%d %s", a.code, a.body)
				}
				var won answer
				between := func() { won = do(first) }
				st.between.Store(&between)
				lost := do(second)
				if won.code >= 300 || lost.code != http.StatusUnprocessableEntity {
					t.Errorf("%d and %d %s", won.code, lost.code, lost.body)
				}
			})
		}
	}
}

func TestServiceUpdates(t *testing.T) {
	s := start(t)
	made := s.service("POST", services, service("web", `"type":"NodePort",`))
	// A manifest that does not say what was allocated keeps it.
	put := s.service("PUT", services+"/web", service("web", `"type":"NodePort","sessionAffinity":"ClientIP",`))
	if put.Spec.ClusterIP != made.Spec.ClusterIP || put.Spec.Ports[0].NodePort != made.Spec.Ports[0].NodePort {
		t.Errorf("%+v, was %+v", put.Spec, made.Spec)
	}
	merge := "Content-Type: application/merge-patch+json"
	if p := s.service("PATCH", services+"/web", `{"spec":{"type":"ClusterIP"}}`, merge); p.Spec.Ports[0].NodePort != 0 || p.Spec.ClusterIP != made.Spec.ClusterIP {
		t.Errorf("as ClusterIP: %+v", p.Spec)
	}
	if p := s.service("PATCH", services+"/web", `{"spec":{"type":"ExternalName","externalName":"example.org"}}`, merge); p.Spec.ClusterIP != "" {
		t.Errorf("as ExternalName: %+v", p.Spec)
	}
	if p := s.service("PATCH", services+"/web", `{"spec":{"type":"LoadBalancer"}}`, merge); p.Spec.ClusterIP == "" || p.Spec.Ports[0].NodePort == 0 {
		t.Errorf("as LoadBalancer: %+v", p.Spec)
	}
	a := s.do("PATCH", services+"/web", `{"spec":{"clusterIP":"10.43.0.44"}}`, merge)
	if a.code != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), "may not change once set") {
		t.Errorf("another address: %d %s", a.code, a.body)
	}
}
