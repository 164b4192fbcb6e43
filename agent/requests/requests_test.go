package requests

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serving is a pod that answers with a text, and its address.
func serving(t *testing.T, status int, text string, notes map[string]string) (*corev1.Pod, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" && r.URL.Path != notes[pathNote] {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	all := map[string]string{scrapeNote: "true", portNote: port}
	for k, v := range notes {
		all[k] = v
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: all}}, host
}

const text = `# HELP http_requests_total of all
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a}b\" {"} 40 1700000000000
http_requests_total{code="500"} 2
http_requests_total_created 17
http_server_requests_total 99
http_requests_in_flight 3
my_total{a="b"} 1e3
broken{
other NaN
`

func TestAsk(t *testing.T) {
	for name, c := range map[string]struct {
		notes           map[string]string
		total, inFlight float64
	}{
		"the first usual name, over all labels": {nil, 42, 3},
		"a name of its own":                     {map[string]string{totalNote: "my_total"}, 1000, 3},
		"a name that is not there":              {map[string]string{totalNote: "none", inFlightNote: "other"}, math.NaN(), math.NaN()},
		"another path":                          {map[string]string{pathNote: "/m"}, 42, 3},
	} {
		t.Run(name, func(t *testing.T) {
			pod, host := serving(t, http.StatusOK, text, c.notes)
			got, err := Ask(t.Context(), pod, host)
			if err != nil || !same(got.Total, c.total) || !same(got.InFlight, c.inFlight) {
				t.Errorf("%+v, %v; want %v and %v", got, err, c.total, c.inFlight)
			}
		})
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestAskFails(t *testing.T) {
	for name, notes := range map[string]map[string]string{
		"no such port":   {portNote: "http"},
		"another scheme": {schemeNote: "https"},
		"not found":      {pathNote: "/other"},
	} {
		pod, host := serving(t, http.StatusOK, text, notes)
		if name == "not found" {
			pod, host = serving(t, http.StatusNotFound, "", nil)
		}
		if got, err := Ask(t.Context(), pod, host); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := Ask(t.Context(), &corev1.Pod{}, "127.0.0.1"); !errors.Is(err, ErrNotAnnotated) {
		t.Errorf("a pod without annotations: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pod, host := serving(t, http.StatusOK, text, nil)
	if _, err := Ask(ctx, pod, host); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzSample(f *testing.F) {
	for line := range strings.Lines(text) {
		f.Add([]byte(strings.TrimSuffix(line, "\n")))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if name, value, ok := sample(line); ok && (math.IsNaN(value) || len(name) > len(line)) {
			t.Errorf("%q: %q %v", line, name, value)
		}
	})
}
