package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"covey.dev/covey/store"
)

const eviction = `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p","namespace":"default"}}`

var budgetKey = store.Key{Resource: "poddisruptionbudgets.policy", Namespace: "default", Name: "b"}

// budgets is a store's scheme that has disruption budgets.
func budgets(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, policyv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *server) putBudget(status policyv1.PodDisruptionBudgetStatus, change ...func(*policyv1.PodDisruptionBudget)) {
	s.Helper()
	b := &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default", Generation: 1},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}},
		Status:     status,
	}
	b.Status.ObservedGeneration = 1
	for _, f := range change {
		f(b)
	}
	if _, err := s.store.Update(context.Background(), func(tx *store.Tx) error {
		if rec, ok := tx.Get(budgetKey); ok {
			tx.Put(budgetKey, b, rec.Revision())
			return nil
		}
		tx.Create(budgetKey, b)
		return nil
	}); err != nil {
		s.Fatal(err)
	}
}

func (s *server) budget() *policyv1.PodDisruptionBudget {
	s.Helper()
	b, ok := store.Get[*policyv1.PodDisruptionBudget](s.store.Snapshot(), budgetKey)
	if !ok {
		s.Fatal("the budget is gone")
	}
	return b
}

// runningPod makes the pod p on a node, with the label of the budget, in a phase.
func (s *server) runningPod(phase string, ready string) {
	s.Helper()
	s.must(http.StatusCreated, "POST", pods, strings.Replace(podOn("n1"), `"name":"p"`, `"name":"p","labels":{"app":"a"}`, 1))
	s.must(http.StatusOK, "PATCH", pods+"/p/status",
		`{"status":{"phase":"`+phase+`","conditions":[{"type":"Ready","status":"`+ready+`"}]}}`, merge)
}

func TestEviction(t *testing.T) {
	healthy := policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, CurrentHealthy: 3, DesiredHealthy: 2}
	full := policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 2, DesiredHealthy: 2}
	broken := policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 1, DesiredHealthy: 2}
	always := policyv1.AlwaysAllow
	for _, c := range []struct {
		name         string
		status       policyv1.PodDisruptionBudgetStatus
		change       func(*policyv1.PodDisruptionBudget)
		phase, ready string
		body         string
		code         int
		want         string
		allowed      int32 // disruptions that the budget has afterwards
	}{
		{name: "allowed", status: healthy, code: 201, allowed: 0},
		{name: "none left", status: full, code: 429, want: "The disruption budget b needs 2 healthy pods and has 2 currently"},
		{name: "not seen yet", status: healthy, change: func(b *policyv1.PodDisruptionBudget) { b.Generation = 2 }, code: 429,
			want: "The disruption budget b is still being processed by the server.", allowed: 1},
		{name: "a pod that has not begun", status: full, phase: "Pending", code: 201},
		{name: "a pod that has ended", status: full, phase: "Failed", code: 201},
		{name: "an unready pod of a healthy budget", status: full, ready: "False", code: 201},
		{name: "an unready pod of a budget that is broken", status: broken, ready: "False", code: 429, want: "needs 2 healthy pods and has 1 currently"},
		{name: "an unready pod that may always go", status: broken, ready: "False", code: 201,
			change: func(b *policyv1.PodDisruptionBudget) { b.Spec.UnhealthyPodEvictionPolicy = &always }},
		{name: "dry run", status: healthy, body: strings.Replace(eviction, `"metadata"`, `"deleteOptions":{"dryRun":["All"]},"metadata"`, 1), code: 201, allowed: 1},
		{name: "the old version", status: healthy, body: strings.Replace(eviction, "policy/v1", "policy/v1beta1", 1), code: 201},
		{name: "another pod", status: healthy, body: strings.Replace(eviction, `"name":"p"`, `"name":"q"`, 1), code: 400, want: "name in URL", allowed: 1},
		{name: "another life of the pod", status: healthy, code: 409, want: "UID", allowed: 1,
			body: strings.Replace(eviction, `"metadata"`, `"deleteOptions":{"preconditions":{"uid":"x"}},"metadata"`, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startWith(t, budgets(t))
			phase, ready, body := "Running", "True", eviction
			if c.phase != "" {
				phase = c.phase
			}
			if c.ready != "" {
				ready = c.ready
			}
			if c.body != "" {
				body = c.body
			}
			s.runningPod(phase, ready)
			if c.change != nil {
				s.putBudget(c.status, c.change)
			} else {
				s.putBudget(c.status)
			}
			a := s.do("POST", pods+"/p/eviction", body)
			if a.code != c.code || !strings.Contains(string(a.body), c.want) {
				t.Fatalf("%d %s, want %d %s", a.code, a.body, c.code, c.want)
			}
			b := s.budget()
			if b.Status.DisruptionsAllowed != c.allowed {
				t.Errorf("%d disruptions left, want %d", b.Status.DisruptionsAllowed, c.allowed)
			}
			counted := c.status.DisruptionsAllowed != c.allowed
			if _, ok := b.Status.DisruptedPods["p"]; ok != counted {
				t.Errorf("the pod is counted as disrupted: %v, want %v", ok, counted)
			}
			pod := s.do("GET", pods+"/p", "")
			evicted := pod.code == http.StatusNotFound || strings.Contains(string(pod.body), "EvictionByEvictionAPI")
			if want := c.code == 201 && c.name != "dry run"; evicted != want {
				t.Errorf("evicted: %v, want %v: %s", evicted, want, pod.body)
			}
		})
	}
}

func TestEvictionOfPodsWithTwoBudgets(t *testing.T) {
	s := startWith(t, budgets(t))
	s.runningPod("Running", "True")
	s.putBudget(policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1})
	if _, err := s.store.Update(t.Context(), func(tx *store.Tx) error {
		other := s.budget().DeepCopy()
		other.Name, other.ResourceVersion = "c", ""
		tx.Create(store.Key{Resource: budgetKey.Resource, Namespace: "default", Name: "c"}, other)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.expect(s.must(http.StatusInternalServerError, "POST", pods+"/p/eviction", eviction),
		"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.", "message")
}

// Typed clients evict in protobuf.
func TestEvictionByClientGo(t *testing.T) {
	s := start(t)
	s.runningPod("Running", "True")
	clients := s.client(true)
	err := clients.PolicyV1().Evictions("default").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"}})
	if err != nil {
		t.Fatal(err)
	}
	pod, err := clients.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil || pod.DeletionTimestamp == nil {
		t.Errorf("the pod is not going: %v", err)
	}
	err = clients.PolicyV1().Evictions("default").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: "default"}})
	if !apierrors.IsNotFound(err) {
		t.Errorf("%v, want not found", err)
	}
}
