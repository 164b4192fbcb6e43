package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api"
	"covey.dev/covey/api/flow"
)

const as = "X-Tester: "

// byHeader takes a request's user from a header.
func byHeader(r *http.Request) (api.User, bool) {
	return api.User{Name: r.Header.Get("X-Tester"), Groups: []string{"system:masters"}}, true
}

// slow is a request that its client does not finish sending.
type slow struct {
	body *io.PipeWriter
	done chan int // its code
}

// sendSlowly begins to create an object as a user; it returns when the request has its seat.
func (s *server) sendSlowly(user string) slow {
	s.Helper()
	from, to := io.Pipe()
	r, err := http.NewRequest("POST", s.url+configMaps, from)
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("X-Tester", user)
	// The client sends nothing of the body before the server reads it, when the request has its seat.
	r.Header.Set("Expect", "100-continue")
	client := http.Client{Transport: &http.Transport{ExpectContinueTimeout: patience, DisableKeepAlives: true}}
	out := slow{to, make(chan int, 1)}
	go func() {
		resp, err := client.Do(r)
		if err != nil {
			out.done <- 0
			return
		}
		_ = resp.Body.Close()
		out.done <- resp.StatusCode
	}()
	if _, err := io.WriteString(to, `{"metadata":`); err != nil {
		s.Fatal(err)
	}
	return out
}

func (s slow) finish() int {
	_, _ = io.WriteString(s.body, `{"generateName":"a-"}}`)
	_ = s.body.Close()
	return <-s.done
}

// A client that has taken all seats it may have, and the queue beside, holds nobody else up.
func TestOneClientLeavesSeatsToOthers(t *testing.T) {
	s := start(t, func(c *api.Config) {
		c.Authenticate = byHeader
		c.Limits = api.DefaultLimits()
		c.Limits.Short = flow.Limits{Seats: 4, SeatsPerClient: 3, Waiting: 10, WaitingPerClient: 5}
	})
	seated := []slow{s.sendSlowly("greedy"), s.sendSlowly("greedy"), s.sendSlowly("greedy")}
	refused := make(chan answer, 100)
	for range 40 {
		go func() { refused <- s.do("GET", configMaps, "", as+"greedy") }()
	}
	for range 35 { // five wait
		if a := <-refused; a.code != http.StatusTooManyRequests || a.header.Get("Retry-After") != "1" || !strings.Contains(string(a.body), "TooManyRequests") {
			t.Fatalf("%d %v %s", a.code, a.header, a.body)
		}
	}
	for range 50 {
		s.must(http.StatusOK, "GET", configMaps, "", as+"modest")
	}
	for _, path := range []string{"/livez", "/readyz", "/version"} {
		if a := s.do("GET", path, "", as+"greedy"); a.code != http.StatusOK {
			t.Errorf("%s: %d", path, a.code)
		}
	}
	for _, r := range seated {
		if code := r.finish(); code != http.StatusCreated {
			t.Errorf("a slow request: %d", code)
		}
	}
	for range 5 {
		if a := <-refused; a.code != http.StatusOK {
			t.Errorf("a request that waited: %d %s", a.code, a.body)
		}
	}
}

func TestLongRunningRequestsAreCountedApart(t *testing.T) {
	s := start(t, func(c *api.Config) {
		c.Limits = api.Limits{
			Short: flow.Limits{Seats: 1, SeatsPerClient: 1, Waiting: 1, WaitingPerClient: 1},
			Long:  flow.Limits{Seats: 2, SeatsPerClient: 2},
		}
	})
	clients := s.client(false)
	for range 2 {
		w, err := clients.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
	}
	s.must(http.StatusOK, "GET", configMaps, "")
	s.must(http.StatusTooManyRequests, "GET", configMaps+"?watch=1", "")
}

func TestTimeouts(t *testing.T) {
	s := start(t, func(c *api.Config) {
		c.Authenticate = byHeader
		c.Limits = api.DefaultLimits()
		c.Limits.Short = flow.Limits{Seats: 1, SeatsPerClient: 1, Waiting: 10, WaitingPerClient: 10}
	})
	out := s.must(http.StatusBadRequest, "GET", configMaps+"?timeout=soon", "")
	s.expect(out, `invalid timeout specified in the request URL: "soon" is no duration such as 30s`, "message")
	s.must(http.StatusOK, "GET", configMaps+"?timeout=0s", "")
	s.must(http.StatusOK, "GET", configMaps+"?timeout=5h", "")
	held := s.sendSlowly("a")
	late := s.must(http.StatusGatewayTimeout, "GET", configMaps+"?timeout=50ms", "")
	s.expect(late, "Timeout", "reason")
	s.expect(late, "Timeout: request did not complete within requested timeout - context deadline exceeded", "message")
	if code := held.finish(); code != http.StatusCreated {
		t.Errorf("%d", code)
	}
}
