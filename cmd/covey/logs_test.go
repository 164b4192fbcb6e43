package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

const twoContainers = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"default"},
	"spec":{"containers":[{"name":"a"},{"name":"b"}]},"status":{"phase":"Running"}}`

func TestLogsFlags(t *testing.T) {
	tests := []struct {
		args string
		want string // query, or error
	}{
		{"p -c b", "container=b"},
		{"p b", "container=b"},
		{"p -c a -f --tail=5 --timestamps -p", "container=a&follow=true&previous=true&tailLines=5&timestamps=true"},
		{"p -c a --since=1500ms --limit-bytes=9", "container=a&limitBytes=9&sinceSeconds=2"},
		{"p -c a --since-time=2026-11-23T10:00:00Z", "container=a&sinceTime=2026-11-23T10%3A00%3A00Z"},
		{"-l app=web -c a", "container=a&tailLines=10"},
		{"-l app=web -c a --tail=-1", "container=a"},
		{"p --tail=-2", "error: --tail must be greater than or equal to -1"},
		{"p --since=1s --since-time=2026-11-23T10:00:00Z", "error: at most one of"},
		{"", "error: expected 'logs"},
		{"p -l app=web", "error: expected 'logs"},
		{"p -c z", "error: container z not found in pod p; there are: a, b"},
	}
	for _, tt := range tests {
		api := serve(t)
		api.reply("GET "+podsPath+"/p", 200, twoContainers)
		api.reply("GET "+podsPath, 200, `{"metadata":{},"items":[`+twoContainers+`]}`)
		api.reply("GET "+podsPath+"/p/log", 200, "line\n")
		got := covey(t, "", append([]string{"logs"}, strings.Fields(tt.args)...)...)
		if strings.HasPrefix(tt.want, "error") {
			if got.status != 1 || !strings.HasPrefix(got.err, tt.want) {
				t.Errorf("%s: %+v, want %s", tt.args, got, tt.want)
			}
			continue
		}
		_, query, _ := strings.Cut(api.lastRequest(), "?")
		if got.out != "line\n" || query != tt.want {
			t.Errorf("%s: %+v, asked %s, want %s", tt.args, got, query, tt.want)
		}
	}
}

func TestLogsOfSeveral(t *testing.T) {
	api := serve(t)
	api.reply("GET "+podsPath+"/p", 200, twoContainers)
	api.handle("GET "+podsPath+"/p/log", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "1\n2 without an end, of "+r.URL.Query().Get("container"))
	})
	covey(t, "", "logs", "p", "--all-containers", "--prefix").want(t, 0,
		"[pod/p/a] 1\n[pod/p/a] 2 without an end, of a\n[pod/p/b] 1\n[pod/p/b] 2 without an end, of b\n", "")
	if got := covey(t, "", "logs", "p", "--tail=1"); got.err != "Defaulted container \"a\" out of: a, b\n" {
		t.Errorf("%+v", got)
	}
	got := covey(t, "", "logs", "p", "-f", "--all-containers")
	for _, line := range []string{"1\n", "of a\n", "of b\n"} {
		if !strings.Contains(got.out, line) {
			t.Errorf("followed %q, want %q in it", got.out, line)
		}
	}
}

// TestLogsAtOnceWarnOnce has the server warn of each of them at the same time.
func TestLogsAtOnceWarnOnce(t *testing.T) {
	api := serve(t)
	api.reply("GET "+podsPath+"/p", 200, twoContainers)
	var asked sync.WaitGroup
	asked.Add(2)
	api.handle("GET "+podsPath+"/p/log", func(w http.ResponseWriter, _ *http.Request) {
		asked.Done()
		asked.Wait()
		w.Header().Set("Warning", `299 - "old"`)
	})
	covey(t, "", "logs", "p", "-f", "--all-containers").want(t, 0, "", "Warning: old\n")
}

// A Deployment's log is that of its most alive pod.
func TestLogsOfDeployment(t *testing.T) {
	api := serve(t)
	api.reply("GET "+webPath, 200, `{"spec":{"selector":{"matchLabels":{"app":"web"}}}}`)
	api.handle("GET "+podsPath, func(w http.ResponseWriter, r *http.Request) {
		if want := (url.Values{"labelSelector": {"app=web"}, "limit": {pageSize}}); r.URL.RawQuery != want.Encode() {
			t.Errorf("asked %s", r.URL)
		}
		_, _ = io.WriteString(w, `{"metadata":{},"items":[
			{"metadata":{"name":"dead","namespace":"default"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Failed"}},
			{"metadata":{"name":"alive","namespace":"default"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running"}}]}`)
	})
	api.reply("GET "+podsPath+"/alive/log", 200, "hello\n")
	covey(t, "", "logs", "deploy/web").want(t, 0, "hello\n", "Found 2 pods, using pod/alive\n")
}

func TestExecRefusals(t *testing.T) {
	api := serve(t)
	api.reply("GET "+podsPath+"/done", 200, `{"kind":"Pod","metadata":{"name":"done"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Succeeded"}}`)
	covey(t, "", "exec", "p").want(t, 1, "", "error: you must specify at least one command for the container\n")
	covey(t, "", "exec", "p", "ls").want(t, 1, "", "error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\n")
	covey(t, "", "exec", "done", "--", "ls").want(t, 1, "", "error: cannot exec into a container in a completed pod; current phase is Succeeded\n")
}
