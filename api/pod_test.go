package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/api"
	"covey.dev/covey/store"
)

func TestPodSubresources(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", pods, podOn("n1"))
	s.must(http.StatusCreated, "POST", pods, strings.NewReplacer(`"name":"p"`, `"name":"q","annotations":{"kubectl.kubernetes.io/default-container":"b"}`).Replace(podOn("n1")))
	s.must(http.StatusCreated, "POST", pods, strings.Replace(podOn(""), `"name":"p"`, `"name":"waiting"`, 1))
	s.must(http.StatusCreated, "POST", pods, strings.Replace(podOn("lost"), `"name":"p"`, `"name":"lost"`, 1))
	s.must(http.StatusCreated, "POST", "/api/v1/nodes", `{"metadata":{"name":"n1"}}`)
	for _, c := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", pods + "/p/log?container=c&follow=true&tailLines=3&sinceSeconds=5&timestamps=1&limitBytes=9&previous=false&pretty=true", 200,
			"n1 GET /containerLogs/default/p/c?follow=true&limitBytes=9&sinceSeconds=5&tailLines=3&timestamps=true "},
		{"GET", pods + "/q/log", 200, "n1 GET /containerLogs/default/q/b "},
		{"GET", pods + "/p/log", 400, "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [c]"},
		{"GET", pods + "/p/log?container=z", 400, "container z is not valid for pod p"},
		{"GET", pods + "/p/log?container=a&tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"},
		{"GET", pods + "/p/log?container=a&sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of"},
		{"GET", pods + "/waiting/log?container=a", 200, ""},
		{"GET", pods + "/none/log", 404, `pods \"none\" not found`},
		{"POST", pods + "/p/exec?container=a&command=sh&command=-c&stdin=true&stdout=true&tty=true", 200,
			"n1 POST /exec/default/p/a?command=sh&command=-c&input=1&output=1&tty=1 "},
		{"GET", pods + "/p/exec?container=a&stdout=true", 400, "you must specify at least one command for the container"},
		{"GET", pods + "/p/exec?container=a&command=ls", 400, "you must specify at least one of stdin, stdout, stderr"},
		{"POST", pods + "/waiting/exec?container=a&command=ls&stdout=1", 400, "pod waiting does not have a host assigned"},
		{"POST", pods + "/lost/exec?container=a&command=ls&stdout=1", 503, "cannot be reached"},
		{"POST", pods + "/p/attach?container=a&stdout=true&stderr=true", 200, "n1 POST /attach/default/p/a?error=1&output=1 "},
		{"POST", pods + "/p/portforward?ports=80", 200, "n1 POST /portForward/default/p?port=80 "},
		{"POST", "/api/v1/nodes/n1/proxy/images/load?x=1", 200, "n1 POST /images/load?x=1 body"},
		{"DELETE", "/api/v1/nodes/n1/proxy/images/docker.io%2Flibrary%2Fb:1", 200, "n1 DELETE /images/docker.io%2Flibrary%2Fb:1 body"},
		{"GET", "/api/v1/nodes/n1/proxy", 200, "n1 GET / "},
		{"GET", "/api/v1/nodes/n2/proxy/images", 404, `nodes \"n2\" not found`},
	} {
		body := ""
		if strings.Contains(c.path, "proxy/images") {
			body = "body"
		}
		if a := s.do(c.method, c.path, body); a.code != c.code || !strings.Contains(string(a.body), c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, a.code, a.body, c.code, c.want)
		}
	}
}

// echoNode takes the connection over and sends back what it gets, as exec does.
type echoNode struct{}

func (echoNode) Handler(string) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		typ, message, err := conn.ReadMessage()
		if err == nil {
			_ = conn.WriteMessage(typ, append([]byte(r.URL.Path+" "), message...))
		}
	}), nil
}

func TestExecTakesTheConnectionOver(t *testing.T) {
	s := start(t, func(c *api.Config) { c.Nodes = echoNode{} })
	s.must(http.StatusCreated, "POST", pods, podOn("n1"))
	url := strings.Replace(s.url, "http", "ws", 1) + pods + "/p/exec?container=a&command=cat&stdin=1&stdout=1"
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close(); _ = conn.Close() }()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.ReadMessage(); err != nil || string(got) != "/exec/default/p/a hi" {
		t.Errorf("%q, %v", got, err)
	}
}

// cutOff is a store that knows what it knew last.
type cutOff struct{ *store.Store }

func (cutOff) Linearizable(context.Context) (*store.Snapshot, error) { return nil, api.ErrAlone }

// TestStreamsOfANodeThatIsCutOffWarn reads the warning from the answer by which a connection becomes a stream, and from a log's.
func TestStreamsOfANodeThatIsCutOffWarn(t *testing.T) {
	const want = `299 - "this is old"`
	for name, nodes := range map[string]api.Nodes{"a stream": echoNode{}, "a log": fakeNodes{}} {
		s := start(t, func(c *api.Config) {
			c.Nodes, c.Store, c.Stale = nodes, cutOff{c.Store.(*store.Store)}, func() string { return "this is old" }
		})
		s.must(http.StatusCreated, "POST", pods, podOn("n1"))
		var resp *http.Response
		var err error
		if name == "a log" {
			resp, err = http.Get(s.url + pods + "/p/log?container=a")
		} else {
			var conn *websocket.Conn
			conn, resp, err = websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(s.url, "http", "ws", 1)+pods+"/p/exec?container=a&command=cat&stdin=1&stdout=1", nil)
			if err == nil {
				defer func() { _ = conn.Close() }()
				if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.ReadMessage(); err != nil || string(got) != "/exec/default/p/a hi" {
					t.Errorf("%q, %v", got, err)
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Values("Warning"); len(got) != 1 || got[0] != want {
			t.Errorf("%s: warnings %q, want %q", name, got, want)
		}
		if none := s.do("GET", pods+"/none", ""); none.code != http.StatusNotFound || none.header.Get("Warning") != want {
			t.Errorf("that a pod is not there: %d, warning %q", none.code, none.header.Get("Warning"))
		}
	}
}

// TestAPartOfTheStateIsNotTakenForAll lists what a node knows of the state that is a part of it, which no client may take for the cluster's.
func TestAPartOfTheStateIsNotTakenForAll(t *testing.T) {
	s := start(t, func(c *api.Config) {
		c.Store, c.Stale, c.Partial = cutOff{c.Store.(*store.Store)}, func() string { return "this is a part" }, true
	})
	s.must(http.StatusCreated, "POST", pods, podOn("n1"))
	for _, any := range []string{"", "?resourceVersion=0", "?limit=500"} {
		r := s.do("GET", pods+any, "")
		var list corev1.PodList
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		if r.header.Get("Warning") != `299 - "this is a part"` || len(list.Items) != 1 || list.ResourceVersion != "1" {
			t.Errorf("list%s: warning %q, %d pods at revision %s", any, r.header.Get("Warning"), len(list.Items), list.ResourceVersion)
		}
	}
}
