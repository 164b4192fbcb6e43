package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const podsPath = "/api/v1/namespaces/default/pods"

func podRow(name, ready string) string {
	return fmt.Sprintf(`{"cells":[%q,%q,3,"10.0.0.1"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",
		"metadata":{"name":%q,"namespace":"default","labels":{"app":"web","tier":"x"},"resourceVersion":"7"}}}`, name, ready, name)
}

func podTable(more string, rows ...string) string {
	return fmt.Sprintf(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7","continue":%q},"columnDefinitions":[
		{"name":"Name","type":"string"},{"name":"Ready","type":"string"},{"name":"Restarts","type":"integer"},{"name":"IP","type":"string","priority":1}],
		"rows":[%s]}`, more, strings.Join(rows, ","))
}

func TestGetTable(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"pods"}, "NAME    READY   RESTARTS\nweb-0   1/1     3\nweb-1   0/1     3\n"},
		{[]string{"po", "-o", "wide"}, "NAME    READY   RESTARTS   IP\nweb-0   1/1     3          10.0.0.1\nweb-1   0/1     3          10.0.0.1\n"},
		{[]string{"pods", "--no-headers"}, "web-0   1/1   3\nweb-1   0/1   3\n"},
		{[]string{"pods", "--show-labels", "-L", "app"}, "NAME    READY   RESTARTS   APP   LABELS\nweb-0   1/1     3          web   app=web,tier=x\nweb-1   0/1     3          web   app=web,tier=x\n"},
		{[]string{"pods", "-A"}, "NAMESPACE   NAME    READY   RESTARTS\ndefault     web-0   1/1     3\ndefault     web-1   0/1     3\n"},
	}
	api := serve(t)
	pages := func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Accept"), "application/json;as=Table") || r.URL.Query().Get("limit") != "500" {
			t.Errorf("%s asks for %s", r.URL, r.Header.Get("Accept"))
		}
		if r.URL.Query().Get("continue") == "" {
			_, _ = io.WriteString(w, podTable("next", podRow("web-0", "1/1")))
			return
		}
		_, _ = io.WriteString(w, podTable("", podRow("web-1", "0/1")))
	}
	api.handle("GET "+podsPath, pages)
	api.handle("GET /api/v1/pods", pages)
	for _, tt := range tests {
		covey(t, "", append([]string{"get"}, tt.args...)...).want(t, 0, tt.want, "")
	}
}

func TestGetSeveralKinds(t *testing.T) {
	api := serve(t)
	api.reply("GET "+podsPath, 200, podTable("", podRow("web-0", "1/1")))
	api.reply("GET /apis/apps/v1/namespaces/default/deployments", 200, podTable("", podRow("web", "1/1")))
	api.reply("GET /apis/apps/v1/namespaces/default/replicasets", 200, podTable(""))
	covey(t, "", "get", "all").want(t, 0, "NAME        READY   RESTARTS\npod/web-0   1/1     3\n\nNAME                  READY   RESTARTS\ndeployment.apps/web   1/1     3\n", "")
}

func TestGetErrors(t *testing.T) {
	api := serve(t)
	api.reply("GET "+podsPath, 200, podTable(""))
	api.reply("GET /api/v1/nodes", 200, podTable(""))
	api.reply("GET "+podsPath+"/web-0", 200, podTable("", podRow("web-0", "1/1")))
	covey(t, "", "get", "pods").want(t, 0, "", "No resources found in default namespace.\n")
	covey(t, "", "get", "pods", "-n", "default", "-l", "app=x").want(t, 0, "", "No resources found in default namespace.\n")
	covey(t, "", "get", "nodes").want(t, 0, "", "No resources found\n")
	covey(t, "", "get", "gadgets").want(t, 1, "", "error: the server doesn't have a resource type \"gadgets\"\n")
	covey(t, "", "get", "pods", "web-0", "web-9").want(t, 1, "NAME    READY   RESTARTS\nweb-0   1/1     3\n", "Error from server (NotFound): pods \"web-9\" not found\n")
	covey(t, "", "get", "pod", "web-9", "--ignore-not-found").want(t, 0, "", "")
	covey(t, "", "get", "pods", "web-0", "-A").want(t, 1, "", "error: a resource cannot be retrieved by name across all namespaces\n")
	covey(t, "", "-n", "team", "get", "pod/a").want(t, 1, "", "Error from server (NotFound): pods \"a\" not found\n")
	if want := "GET /api/v1/namespaces/team/pods/a"; api.lastRequest() != want {
		t.Errorf("asked %s, want %s: a flag before the command counts", api.lastRequest(), want)
	}
}

func TestGetObjects(t *testing.T) {
	api := serve(t)
	one := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","managedFields":[{"manager":"x"}]},"spec":{"n":1,"s":"<b>"}}`
	api.reply("GET "+podsPath+"/a", 200, one)
	api.reply("GET "+podsPath, 200, `{"metadata":{},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}`)
	covey(t, "", "get", "pod", "a", "-o", "yaml").want(t, 0, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  \"n\": 1\n  s: <b>\n", "")
	covey(t, "", "get", "pods", "-o", "name").want(t, 0, "pod/a\npod/b\n", "")
	covey(t, "", "get", "pods", "-o", "jsonpath={.items[*].metadata.name}").want(t, 0, "a b", "")
	covey(t, "", "get", "pod/a", "-o", "jsonpath=spec.n").want(t, 0, "1", "")
	got := covey(t, "", "get", "pods", "-o", "json")
	if !strings.Contains(got.out, `"kind": "List"`) || strings.Count(got.out, `"kind": "Pod"`) != 2 {
		t.Errorf("list:\n%s", got.out)
	}
	covey(t, "", "get", "pods", "-o", "xml").want(t, 1, "", "error: unable to match a printer suitable for the output format \"xml\", allowed formats are: json, jsonpath, name, wide, yaml\n")
}

// A watch outlives the end of its stream, prints its header once, and ends silently with Ctrl-C.
func TestGetWatch(t *testing.T) {
	api := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	streams := 0
	api.handle("GET "+podsPath, func(w http.ResponseWriter, r *http.Request) {
		event := func(row, revision string) {
			fmt.Fprintf(w, `{"type":"MODIFIED","object":{"kind":"Table","metadata":{"resourceVersion":%q},"rows":[%s]}}`+"\n", revision, row)
		}
		switch q := r.URL.Query(); {
		case q.Get("watch") == "":
			_, _ = io.WriteString(w, podTable("", podRow("web-0", "0/1")))
		case q.Get("resourceVersion") == "7":
			event(podRow("web-0", "1/1"), "8")
		case q.Get("resourceVersion") == "8":
			event(podRow("web-0", "0/1 a longer one"), "9")
		default:
			if streams++; streams == 1 {
				cancel()
			}
			<-r.Context().Done()
		}
	})
	got := coveyIn(ctx, "", "get", "pods", "-w")
	got.want(t, interruptedStatus, "NAME    READY   RESTARTS\nweb-0   0/1     3\nweb-0   1/1     3\nweb-0   0/1 a longer one   3\n", "")
}
