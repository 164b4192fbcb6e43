package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	webPath = "/apis/apps/v1/namespaces/default/deployments/web"
	web     = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n"
)

func webAt(revision string) string {
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"default","uid":"u","resourceVersion":%q}}`, revision)
}

func TestApplyWords(t *testing.T) {
	tests := []struct {
		name, before, after string
		code                int
		args                []string
		want                string
	}{
		{"created", "", "1", 201, nil, "deployment.apps/web created\n"},
		{"configured", "1", "2", 200, nil, "deployment.apps/web configured\n"},
		{"unchanged", "2", "2", 200, nil, "deployment.apps/web unchanged\n"},
		{"dry run", "", "1", 201, []string{"--dry-run=server"}, "deployment.apps/web created (server dry run)\n"},
		{"name", "1", "2", 200, []string{"-o", "name"}, "deployment.apps/web\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := serve(t)
			if tt.before != "" {
				api.reply("GET "+webPath, 200, webAt(tt.before))
			}
			api.handle("PATCH "+webPath, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Content-Type") != "application/apply-patch+yaml" || r.URL.Query().Get("fieldValidation") != "Strict" ||
					r.URL.Query().Get("fieldManager") != "covey" || r.URL.Query().Get("force") != "false" {
					t.Errorf("%s as %s", r.URL, r.Header.Get("Content-Type"))
				}
				w.Header().Set("Warning", `299 - "spec.x: not acted on"`)
				w.WriteHeader(tt.code)
				_, _ = io.WriteString(w, webAt(tt.after))
			})
			covey(t, web, append([]string{"apply", "-f", "-"}, tt.args...)...).want(t, 0, tt.want, "Warning: spec.x: not acted on\n")
		})
	}
}

// One bad document does not keep the others from being applied.
func TestApplyGoesOn(t *testing.T) {
	api := serve(t)
	api.reply("PATCH "+webPath, 201, webAt("1"))
	api.reply("PATCH /api/v1/namespaces/default/configmaps/bad", 400, status(400, "BadRequest", `strict decoding error: unknown field "dta"`))
	in := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\n---\nkind: Pod\n---\napiVersion: v1\nkind: Gadget\nmetadata: {name: g}\n---\n" +
		"apiVersion: v1\nkind: Pod\n---\n" + web
	covey(t, in, "apply", "-f", "-").want(t, 1, "deployment.apps/web created\n",
		`Error from server (BadRequest): error when applying ConfigMap "bad" in "-", document 1: strict decoding error: unknown field "dta"
error: "-", document 2: apiVersion not set
error: resource mapping not found for name: "g" namespace: "" from "-", document 3: no matches for kind "Gadget" in version "v1"
error: Pod in "-", document 4: metadata.name not set
`)
}

func TestApplyRefusals(t *testing.T) {
	serve(t)
	for _, tt := range []struct {
		in   string
		args []string
		want string
	}{
		{"", []string{"-f", "-"}, "error: no objects passed to apply\n"},
		{"", nil, "error: must specify -f FILE\n"},
		{"", []string{"-f", "/nonexistent.yaml"}, "error: the path \"/nonexistent.yaml\" does not exist\n"},
		{"", []string{"-f", "-", "--dry-run=client"}, "error: --dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)\n"},
		{"", []string{"--nonsense"}, "error: unknown flag: --nonsense\nSee 'covey apply --help' for usage.\n"},
		{
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}", []string{"-f", "-", "-n", "team"},
			`error: Pod "x/a" in "-": the namespace from the provided object "x" does not match the namespace "team". You must pass '--namespace=x' to perform this operation` + "\n",
		},
	} {
		covey(t, tt.in, append([]string{"apply"}, tt.args...)...).want(t, 1, "", tt.want)
	}
}

// What covey's other commands have set gives way to apply; what others have set does not.
func TestApplyConflicts(t *testing.T) {
	for manager, gives := range map[string]bool{"covey": true, "kubectl": false} {
		api := serve(t)
		api.reply("GET "+webPath, 200, webAt("1"))
		api.handle("PATCH "+webPath, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("force") == "true" {
				_, _ = io.WriteString(w, webAt("2"))
				return
			}
			w.WriteHeader(http.StatusConflict)
			fmt.Fprintf(w, `{"kind":"Status","status":"Failure","reason":"Conflict","code":409,"message":"Apply failed with 1 conflict","details":{"causes":[
				{"reason":"FieldManagerConflict","message":"conflict with \"%s\" with subresource \"scale\" using apps/v1","field":".spec.replicas"}]}}`, manager)
		})
		got := covey(t, web, "apply", "-f", "-")
		if gives && got.out != "deployment.apps/web configured\n" {
			t.Errorf("conflict with %s: %+v", manager, got)
		}
		if !gives && (got.status != 1 || !strings.Contains(got.err, "--force-conflicts")) {
			t.Errorf("conflict with %s: %+v", manager, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	api := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	api.handle("GET "+webPath, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if got := coveyIn(ctx, web, "apply", "-f", "-"); got.status != interruptedStatus || got.err != "" {
		t.Errorf("%+v, want a silent end with status %d", got, interruptedStatus)
	}
}
