package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
)

func TestRolloutStatusMessages(t *testing.T) {
	const waiting = `Waiting for deployment "web" rollout to finish: `
	tests := []struct {
		observed                              int64
		replicas, updated, available, desired int32
		reason                                string
		want                                  string
		done                                  bool
		err                                   string
	}{
		{observed: 1, want: "Waiting for deployment spec update to be observed..."},
		{observed: 2, desired: 3, updated: 1, want: waiting + "1 out of 3 new replicas have been updated..."},
		{observed: 2, desired: 3, updated: 3, replicas: 4, want: waiting + "1 old replicas are pending termination..."},
		{observed: 2, desired: 3, updated: 3, replicas: 3, available: 2, want: waiting + "2 of 3 updated replicas are available..."},
		{observed: 2, desired: 3, updated: 3, replicas: 3, available: 3, want: `deployment "web" successfully rolled out`, done: true},
		{observed: 2, desired: 3, reason: "ProgressDeadlineExceeded", err: `deployment "web" exceeded its progress deadline`},
		{observed: 1, desired: 3, reason: "ProgressDeadlineExceeded", want: "Waiting for deployment spec update to be observed..."},
	}
	for _, tt := range tests {
		d := &appsv1.Deployment{}
		d.Name, d.Generation, d.Spec.Replicas = "web", 2, &tt.desired
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: tt.observed, Replicas: tt.replicas, UpdatedReplicas: tt.updated, AvailableReplicas: tt.available,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Reason: tt.reason}},
		}
		text, done, err := rolloutStatus(d, 0)
		if text != tt.want || done != tt.done || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%+v: %q, %t, %v", tt, text, done, err)
		}
	}
}

func rolling(revision string, available int) string {
	return fmt.Sprintf(`{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","namespace":"default","uid":"d","generation":1,"resourceVersion":%q},
		"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}}},"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"availableReplicas":%d}}`, revision, available)
}

func TestRolloutStatusFollows(t *testing.T) {
	api := serve(t)
	api.reply("GET "+webPath, 200, rolling("5", 0))
	api.handle("GET /apis/apps/v1/namespaces/default/deployments", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("resourceVersion") != "5" || q.Get("fieldSelector") != "metadata.name=web" {
			t.Errorf("watches %s", r.URL)
		}
		for i, available := range []int{0, 1, 2} {
			fmt.Fprintf(w, `{"type":"MODIFIED","object":%s}`+"\n", rolling(fmt.Sprint(6+i), available))
		}
	})
	covey(t, "", "rollout", "status", "deploy/web").want(t, 0, `Waiting for deployment "web" rollout to finish: 0 of 2 updated replicas are available...
Waiting for deployment "web" rollout to finish: 1 of 2 updated replicas are available...
deployment "web" successfully rolled out
`, "")
	covey(t, "", "rollout", "status", "deploy/web", "--watch=false").want(t, 0, "Waiting for deployment \"web\" rollout to finish: 0 of 2 updated replicas are available...\n", "")
	api.handle("GET /apis/apps/v1/namespaces/default/deployments", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	got := covey(t, "", "rollout", "status", "deploy/web", "--timeout=50ms")
	if got.status != 1 || got.err != "error: timed out waiting for the condition\n" {
		t.Errorf("%+v", got)
	}
	covey(t, "", "rollout", "status", "pod/a").want(t, 1, "", "error: pod/a has no rollout: only deployments.apps have\n")
}

// revisions are ReplicaSets of the Deployment, the last one its current.
const revisions = `{"metadata":{},"items":[
	{"metadata":{"name":"web-2","namespace":"default","annotations":{"deployment.kubernetes.io/revision":"2","note":"kept"},"ownerReferences":[{"controller":true,"uid":"d"}]},
	 "spec":{"template":{"metadata":{"labels":{"app":"web","pod-template-hash":"h2"}},"spec":{"containers":[{"name":"c","image":"i:2"}]}}}},
	{"metadata":{"name":"web-10","namespace":"default","annotations":{"deployment.kubernetes.io/revision":"10","kubernetes.io/change-cause":"why"},"ownerReferences":[{"controller":true,"uid":"d"}]},
	 "spec":{"template":{"spec":{"containers":[{"name":"c","image":"i:10"}]}}}},
	{"metadata":{"name":"stranger","namespace":"default","annotations":{"deployment.kubernetes.io/revision":"11"}}}]}`

func TestRolloutHistoryAndUndo(t *testing.T) {
	api := serve(t)
	api.reply("GET "+webPath, 200, rolling("5", 2))
	api.reply("GET /apis/apps/v1/namespaces/default/replicasets", 200, revisions)
	api.reply("PATCH "+webPath, 200, rolling("6", 2))
	covey(t, "", "rollout", "history", "deploy", "web").want(t, 0, "deployment.apps/web \nREVISION   CHANGE-CAUSE\n2          <none>\n10         why\n\n", "")
	if got := covey(t, "", "rollout", "history", "deploy/web", "--revision=2"); !strings.Contains(got.out, "i:2") {
		t.Errorf("%+v", got)
	}
	covey(t, "", "rollout", "undo", "deploy/web").want(t, 0, "deployment.apps/web rolled back\n", "")
	if sent := api.lastBody(); !strings.Contains(sent, `"i:2"`) || !strings.Contains(sent, `"note":"kept"`) || strings.Contains(sent, "h2") || strings.Contains(sent, `revision"`) {
		t.Errorf("sent %s", sent)
	}
	covey(t, "", "rollout", "undo", "deploy/web", "--to-revision=7").want(t, 1, "", "error: unable to find specified revision 7 in history\n")
}

func TestScale(t *testing.T) {
	api := serve(t)
	api.reply("GET "+webPath+"/scale", 200, `{"kind":"Scale","metadata":{"resourceVersion":"5"},"spec":{"replicas":2}}`)
	api.reply("PATCH "+webPath+"/scale", 200, `{}`)
	covey(t, "", "scale", "--replicas=3", "deploy/web").want(t, 0, "deployment.apps/web scaled\n", "")
	if sent := api.lastBody(); sent != `{"spec":{"replicas":3}}` {
		t.Errorf("sent %s", sent)
	}
	covey(t, "", "scale", "--replicas=3", "--current-replicas=2", "deploy/web").want(t, 0, "deployment.apps/web scaled\n", "")
	if sent := api.lastBody(); !strings.Contains(sent, `"resourceVersion":"5"`) {
		t.Errorf("sent %s, want it to hold only for the revision that was seen", sent)
	}
	covey(t, "", "scale", "--replicas=3", "--current-replicas=1", "deploy/web").want(t, 1, "", "error: Expected replicas to be 1, was 2\n")
	covey(t, "", "scale", "deploy/web").want(t, 1, "", "error: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0\n")
}

func TestImagePull(t *testing.T) {
	api := serve(t)
	api.reply("GET /covey/status", 200, `{"node":"n1"}`)
	lines := `{"item":"a","status":"downloading","offset":1,"total":2}` + "\n"
	api.handle("POST /api/v1/nodes/n1/proxy/images/pull", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, lines) })
	covey(t, "", "image", "pull", "x:1").want(t, 1, "", "error: the node stopped telling how it goes: unexpected EOF\n")
	lines += `{"error":"no such host"}` + "\n"
	covey(t, "", "image", "pull", "x:1").want(t, 1, "", "error: no such host\n")
	lines = `{"image":{"Ref":"docker.io/library/x:1","Digest":"sha256:0"}}`
	covey(t, "", "image", "pull", "x:1").want(t, 0, "Pulled image: x:1\nDigest: sha256:0\n", "")
	api.reply("GET /api/v1/nodes/n1/proxy/images", 200, `[{"Ref":"docker.io/library/x:1","Digest":"sha256:0123456789abcdef","SizeBytes":1500000}]`)
	covey(t, "", "image", "ls").want(t, 0, "IMAGE   DIGEST                SIZE     AGE\nx:1     sha256:0123456789ab   1.5 MB   <unknown>\n", "")
	api.handle("POST /api/v1/nodes/n2/proxy/images/load", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"Ref":"docker.io/me/y:2"}]`)
	})
	covey(t, "the archive", "image", "load", "--node=n2", "-").want(t, 0, "Loaded image: me/y:2\n", "")
	if api.lastBody() != "the archive" {
		t.Errorf("sent %q", api.lastBody())
	}
}
