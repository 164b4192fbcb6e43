package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Delete returns when the object is gone, even if another of its name has taken its place.
func TestDeleteWaits(t *testing.T) {
	for _, last := range []string{
		`{"type":"DELETED","object":{"metadata":{"name":"a","uid":"u1","resourceVersion":"9"}}}`,
		`{"type":"ADDED","object":{"metadata":{"name":"a","uid":"u2","resourceVersion":"9"}}}`,
	} {
		api := serve(t)
		api.reply("DELETE "+podsPath+"/a", 200, `{"kind":"Pod","metadata":{"name":"a","uid":"u1"}}`)
		api.handle("GET "+podsPath, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Query().Get("fieldSelector") != "metadata.name=a":
				t.Errorf("asked %s", r.URL)
			case r.URL.Query().Get("watch") == "":
				_, _ = io.WriteString(w, `{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a","uid":"u1"}}]}`)
			default:
				fmt.Fprintln(w, `{"type":"MODIFIED","object":{"metadata":{"name":"a","uid":"u1","resourceVersion":"8"}}}`)
				fmt.Fprintln(w, last)
			}
		})
		covey(t, "", "delete", "pod", "a").want(t, 0, "pod \"a\" deleted from default namespace\n", "")
	}
}

func TestDeleteOptions(t *testing.T) {
	tests := []struct {
		args []string
		body string // a part of it
		out  string
		err  string
	}{
		{nil, `"propagationPolicy":"Background"`, "deleted from default namespace", ""},
		{[]string{"--now"}, `"gracePeriodSeconds":1`, "deleted", ""},
		{[]string{"--grace-period=0"}, `"gracePeriodSeconds":1`, "deleted", ""},
		{[]string{"--force"}, `"gracePeriodSeconds":0`, "force deleted", "Warning: Immediate deletion"},
		{[]string{"--cascade=orphan"}, `"propagationPolicy":"Orphan"`, "deleted", ""},
		{[]string{"--dry-run=server"}, `"dryRun":["All"]`, "(server dry run)", ""},
		{[]string{"-o", "name"}, "", "pod/a\n", ""},
		{[]string{"--force", "--grace-period=5"}, "", "", "error: --force and --grace-period greater than 0"},
		{[]string{"--cascade=maybe"}, "", "", "error: invalid cascade value (maybe)"},
	}
	for _, tt := range tests {
		api := serve(t)
		api.reply("DELETE "+podsPath+"/a", 200, `{"kind":"Pod","metadata":{"name":"a","uid":"u1"}}`)
		got := covey(t, "", append([]string{"delete", "pod/a", "--wait=false"}, tt.args...)...)
		if !strings.Contains(got.out, tt.out) || !strings.Contains(got.err, tt.err) || (got.status == 0) != (tt.out != "") {
			t.Errorf("%q: %+v", tt.args, got)
		}
		if got.status == 0 && !strings.Contains(api.lastBody(), tt.body) {
			t.Errorf("%q: sent %s", tt.args, api.lastBody())
		}
	}
}

func TestDeleteSelected(t *testing.T) {
	api := serve(t)
	api.reply("GET "+podsPath, 200, `{"metadata":{},"items":[{"metadata":{"name":"a","namespace":"default"}},{"metadata":{"name":"b","namespace":"default"}}]}`)
	api.reply("DELETE "+podsPath+"/b", 200, `{"kind":"Pod","metadata":{"uid":"u1"}}`)
	covey(t, "", "delete", "pods").want(t, 1, "", "error: resource(s) were provided, but no name was specified\n")
	// One that went by itself meanwhile is no error.
	covey(t, "", "delete", "pods", "-l", "app=x", "--wait=false").want(t, 0, "pod \"b\" deleted from default namespace\n", "")
	covey(t, "", "delete", "pod", "z").want(t, 1, "", "Error from server (NotFound): pods \"z\" not found\n")
	covey(t, "", "delete", "pod", "z", "--ignore-not-found").want(t, 0, "", "")
}
