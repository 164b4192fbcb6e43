package kind_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/api/kind"
)

// started is the time at which the tests' objects are created.
var started = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// parse reads an object of a kind of its own from YAML, as strictly as the API does.
func parse(t *testing.T, k *kind.Kind, text string) kind.Object {
	t.Helper()
	obj := k.New()
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("parse the test's %s: %v", k.Singular, err)
	}
	return obj
}

// created is the object as the API would store it, and the errors that it would answer instead.
func created(t *testing.T, k *kind.Kind, text string) (kind.Object, field.ErrorList) {
	t.Helper()
	obj := parse(t, k, text)
	k.Default(obj)
	if k.PrepareCreate != nil {
		k.PrepareCreate(obj, started)
	}
	return obj, k.Validate(obj)
}

// updated is old changed to text, and the errors that the API would answer instead.
func updated(t *testing.T, k *kind.Kind, old kind.Object, text string) (kind.Object, field.ErrorList) {
	t.Helper()
	obj := parse(t, k, text)
	k.Default(obj)
	obj.SetResourceVersion(old.GetResourceVersion())
	obj.SetGeneration(old.GetGeneration())
	k.PrepareUpdate(obj, old)
	return obj, k.ValidateUpdate(obj, old)
}

// mustCreate is created for objects that are meant to be right.
func mustCreate(t *testing.T, k *kind.Kind, text string) kind.Object {
	t.Helper()
	obj, errs := created(t, k, text)
	if len(errs) > 0 {
		t.Fatalf("create the test's %s: %v", k.Singular, errs.ToAggregate())
	}
	obj.SetResourceVersion("7")
	return obj
}

func find(t *testing.T, resource string) *kind.Kind {
	t.Helper()
	for _, k := range kind.All() {
		if k.Plural == resource {
			return k
		}
	}
	t.Fatalf("no kind is called %q", resource)
	return nil
}

const hello = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      containers:
      - name: hello
        image: hello:1
        ports: [{containerPort: 5000}]
        livenessProbe:
          httpGet: {path: /, port: 5000}
          initialDelaySeconds: 10
          timeoutSeconds: 5
          periodSeconds: 30
`

const helloPod = `
metadata: {name: p, namespace: default}
spec:
  containers: [{name: c, image: i:1}]
`

func TestBadObjectsNameTheField(t *testing.T) {
	for _, c := range []struct{ resource, name, text, want string }{
		{"deployments", "negative replicas", strings.Replace(hello, "replicas: 1", "replicas: -1", 1), "spec.replicas: Invalid value: -1"},
		{"deployments", "selector does not match", strings.Replace(hello, "labels: {app: hello}", "labels: {app: other}", 1), "spec.template.metadata.labels"},
		{"deployments", "no selector", strings.Replace(hello, "selector: {matchLabels: {app: hello}}", "selector: {}", 1), "spec.selector"},
		{"deployments", "bad name", strings.Replace(hello, "name: hello,", "name: Hello_World,", 1), "metadata.name"},
		{"deployments", "no image", strings.Replace(hello, "image: hello:1", "image: ''", 1), "spec.template.spec.containers[0].image: Required value"},
		{"deployments", "port out of range", strings.Replace(hello, "containerPort: 5000", "containerPort: 70000", 1), "spec.template.spec.containers[0].ports[0].containerPort"},
		{"pods", "no containers", "metadata: {name: p, namespace: default}\nspec: {}", "spec.containers: Required value"},
		{"pods", "request over limit", strings.Replace(helloPod, "image: i:1", "image: i:1, resources: {requests: {cpu: 2}, limits: {cpu: 1}}", 1), "spec.containers[0].resources.requests"},
		{"configmaps", "bad key", "metadata: {name: c, namespace: default}\ndata: {'a/b': x}", "data[a/b]"},
		{"secrets", "TLS without key", "metadata: {name: s, namespace: default}\ntype: kubernetes.io/tls", "data[tls.crt]: Required value"},
		{"namespaces", "bad name", "metadata: {name: a.b}", "metadata.name"},
		{"nodes", "bad pod CIDR", "metadata: {name: n}\nspec: {podCIDR: x, podCIDRs: [x]}", "spec.podCIDRs[0]"},
		{"events", "other namespace", "metadata: {name: e, namespace: default}\ninvolvedObject: {kind: Pod, namespace: other, name: p}", "involvedObject.namespace"},
		{"serviceaccounts", "bad name", "metadata: {name: A, namespace: default}", "metadata.name"},
	} {
		t.Run(c.resource+" "+c.name, func(t *testing.T) {
			_, errs := created(t, find(t, c.resource), c.text)
			if len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), c.want) {
				t.Errorf("errors = %v, want one about %q", errs.ToAggregate(), c.want)
			}
		})
	}
}
