package main

import (
	"strings"
	"testing"
)

// TestNoNameIsNotAllNames: an empty name, as an unset variable of a script makes it, and "." and ".." would make the path of one
// object that of a whole collection, or of a namespace.
func TestNoNameIsNotAllNames(t *testing.T) {
	api := serve(t)
	web := "/apis/apps/v1/namespaces/default/deployments/web"
	for _, path := range []string{podsPath, "/api/v1/nodes", "/api/v1/pods", "/api/v1/namespaces/default", "/apis/apps/v1/namespaces/default/deployments", web} {
		api.reply(path, 200, `{"metadata":{"name":"web"},"items":[]}`)
	}
	api.reply("/covey/status", 200, `{"node":"a","members":[]}`)
	manifest := func(name, namespace string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {name: "` + name + `", namespace: "` + namespace + `"}}`
	}
	const empty, dot, dots = "resource name may not be empty", `invalid resource name ".": may not be '.'`, `invalid resource name "..": may not be '..'`
	tests := []struct {
		args, stdin, err string
	}{
		{"node remove <>", "", "node : " + empty},
		{"node remove node/", "", "node node/: " + empty},
		{"node remove .", "", "node .: " + dot},
		{"cordon <>", "", empty},
		{"drain ..", "", dots},
		{"delete deploy web <>", "", empty},
		{"delete pod .", "", dot},
		{"delete pod/..", "", dots},
		{"delete pod a%2f", "", `invalid resource name "a%2f": may not contain '%'`},
		{"get pod <>", "", empty},
		{"describe pod ..", "", dots},
		{"scale --replicas=0 deploy web <>", "", empty},
		{"rollout restart deploy <>", "", empty},
		{"rollout status deploy/.", "", dot},
		{"logs ..", "", dots},
		{"exec .. -- true", "", dots},
		{"-n .. delete pods --all", "", `invalid namespace "..": may not be '..'`},
		{"delete -f -", manifest("..", ""), dots},
		{"apply -f -", manifest("a", ".."), `invalid namespace "..": may not be '..'`},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		for i := range args {
			if args[i] == "<>" {
				args[i] = ""
			}
		}
		got := covey(t, tt.stdin, args...)
		if got.status == 0 || !strings.Contains(got.err, tt.err) {
			t.Errorf("%s: %+v, want the error %s", tt.args, got, tt.err)
		}
	}
	for _, r := range api.requests {
		if !strings.HasPrefix(r, "GET ") {
			t.Errorf("asked for %s", r)
		}
	}
}
