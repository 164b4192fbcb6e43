package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/e2e/harness"
)

// TestAnImageOnOneNodeIsEnough runs pods on nodes that were never told of the image, and has one wait for an image that comes later,
// to yet another node. There is no registry.
func TestAnImageOnOneNodeIsEnough(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	n := c.Nodes[1]
	on := func(name, node, image, policy string) string {
		return pod(name, fmt.Sprintf(`  nodeName: %s
  containers: [{name: c, image: %q, imagePullPolicy: %s}]`, node, image, policy))
	}
	n.Apply(on("early", "node-2", "hello:1.0", "IfNotPresent"))
	n.Apply(strings.ReplaceAll(on("late", "node-3", "busybox:1", "Always"), "}]", ", command: [sleep, '3600']}]"))
	n.Pod("app=early", waitsForImage)
	late := n.Pod("app=late", isRunning)
	n.Eventually(func() error {
		return contain(n.Kubectl("describe", "pod", late.Name), "It came from node-1.", "The registry could not be asked whether it has another")
	})

	c.Nodes[2].Covey("image", "load", "--node", "node-3", harness.Bin("hello.tar"))
	early := n.Pod("app=early", isRunning)
	n.Eventually(func() error { return contain(n.Kubectl("describe", "pod", early.Name), "It came from node-3.") })
	n.Eventually(func() error {
		if got := n.Kubectl("get", "node", "node-2", "-o", "jsonpath={.status.images[*].names}"); !strings.Contains(got, "docker.io/library/hello:1.0") {
			return fmt.Errorf("node-2 does not say that it has the image: %s", got)
		}
		return nil
	})
}

// TestImagesArePushedToAnyNode pushes with the usual programs, pulls from a node that does not have it, and runs it on a third. A worker passes
// what is pushed on.
func TestImagesArePushedToAnyNode(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 3)
	c.AddWorkers(1)
	first, second, third := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	crane := func(args ...string) harness.Result {
		t.Helper()
		ca := filepath.Join(first.Dir, ".config/containers/certs.d", c.Address(1), "ca.crt")
		return first.Pipe("", "/usr/bin/env", append([]string{"SSL_CERT_FILE=" + ca, "DOCKER_CONFIG=" + first.Dir, harness.Bin("crane")}, args...)...)
	}
	must := func(r harness.Result) string {
		t.Helper()
		if r.Code != 0 {
			t.Fatal(r.Output())
		}
		return r.Output()
	}
	layout := func(archive string) string {
		dir := filepath.Join(first.Dir, archive)
		must(first.Pipe("", "/bin/sh", "-c", "mkdir -p "+dir+" && tar -xf "+harness.Bin(archive)+" -C "+dir))
		return dir
	}
	hello, busybox := layout("hello.tar"), layout("busybox.tar")
	if r := crane("push", "--insecure", hello, c.Address(1)+"/team/app:1"); r.Code == 0 || !strings.Contains(r.Output(), "401 Unauthorized") {
		t.Errorf("a push by nobody: %s", r.Output())
	}
	must(first.Pipe("", "/usr/bin/env", "DOCKER_CONFIG="+first.Dir, harness.Bin("covey"), "registry", "login", c.Address(1), c.Address(2), c.Address(4)))

	must(crane("push", hello, c.Address(1)+"/team/app:1"))
	must(crane("pull", "--format=oci", c.Address(2)+"/team/app:1", filepath.Join(first.Dir, "pulled")))
	on := func(name, node, policy string) string {
		return pod(name, fmt.Sprintf(`  nodeName: %s
  containers: [{name: c, image: "covey.local/team/app:1", imagePullPolicy: %s}]`, node, policy))
	}
	third.Apply(on("app", "node-3", "IfNotPresent"))
	third.Pod("app=app", isRunning)
	third.Eventually(func() error { return contain(third.Kubectl("describe", "pod", "app"), "It came from node-1.") })
	first.Apply(on("home", "node-1", "IfNotPresent"))
	first.Pod("app=home", isRunning)

	must(crane("push", hello, c.Address(4)+"/team/worker:1"))
	must(crane("pull", "--format=oci", c.Address(2)+"/team/worker:1", filepath.Join(first.Dir, "passed-on")))
	first.Apply(strings.ReplaceAll(on("on-worker", "node-4", "IfNotPresent"), "app:1", "worker:1"))
	first.Pod("app=on-worker", isRunning)
	first.Covey("registry", "rm", "covey.local/team/worker:1")

	must(crane("push", busybox, c.Address(2)+"/team/app:1"))
	want := strings.TrimSpace(must(crane("digest", c.Address(2)+"/team/app:1")))
	if got := strings.TrimSpace(must(crane("digest", c.Address(1)+"/team/app:1"))); got != want {
		t.Errorf("after another push to node-2, node-1 says that the tag is %s, want %s", got, want)
	}
	third.Apply(strings.ReplaceAll(on("again", "node-3", "Always"), "}]", ", command: [sleep, '3600']}]"))
	if again := third.Pod("app=again", isRunning); !strings.HasSuffix(again.Status.ContainerStatuses[0].ImageID, want) {
		t.Errorf("a pod runs %s, want what the tag stands for now, %s", again.Status.ContainerStatuses[0].ImageID, want)
	}
	has(t, "covey registry ls", second.Covey("registry", "ls"), "covey.local/team/app:1")
	second.Covey("registry", "rm", "covey.local/team/app:1")
	if out := second.Covey("registry", "ls"); strings.Contains(out, "team/app") {
		t.Errorf("it was removed, and is listed still:\n%s", out)
	}

	c.AddWorkers(1)
	must(first.Pipe("", "/usr/bin/env", "DOCKER_CONFIG="+first.Dir, harness.Bin("covey"), "registry", "login", c.Address(4)))
	must(crane("push", hello, c.Address(4)+"/at/a-worker:1"))
	has(t, "covey registry ls", second.Covey("registry", "ls"), "covey.local/at/a-worker:1")

	must(crane("mutate", "--label", "only=here", "--tag", c.Address(2)+"/lonely:1", c.Address(2)+"/at/a-worker:1"))
	first.Eventually(func() error {
		return contain(first.Kubectl("get", "node", "node-2", "-o", "jsonpath={.status.images[*].names}"), "covey.local/lonely:1")
	})
	second.Kill()
	first.Eventually(func() error { return ready(first, "node-2", corev1.ConditionUnknown) })
	first.Apply(strings.ReplaceAll(on("lonely", "node-3", "IfNotPresent"), "team/app", "lonely"))
	lonely := first.Pod("app=lonely", waitsForImage)
	first.Eventually(func() error {
		return contain(first.Kubectl("describe", "pod", lonely.Name),
			"no node that can be reached has covey.local/lonely:1", "of the nodes node-2 has it, and cannot be reached")
	})
	second.Start()
	first.Pod("app=lonely", isRunning)

	conforms(t, first, c.Address(1))
	must(first.Pipe("", "/usr/bin/env", "DOCKER_CONFIG="+first.Dir, harness.Bin("covey"), "registry", "logout", c.Address(1)))
	if r := crane("push", hello, c.Address(2)+"/team/app:1"); r.Code == 0 {
		t.Error("a push after the logout was let in")
	}
}

// conforms runs the conformance tests of the OCI distribution specification against a node: pull, push, discovery and management.
func conforms(t *testing.T, n *harness.Node, address string) {
	t.Helper()
	user, password, _ := strings.Cut(strings.TrimSpace(n.Covey("registry", "login", "--show", address)), " ")
	r := n.Pipe("", "/usr/bin/env", "OCI_REGISTRY="+address, "OCI_USERNAME="+user, "OCI_PASSWORD="+password,
		"SSL_CERT_FILE="+filepath.Join(n.Dir, ".config/containers/certs.d", address, "ca.crt"), "OCI_RESULTS_DIR="+n.Dir+"/conformance",
		// What the specification leaves to the registry: more headers are sent, uploads may be cancelled, and digests are SHA-256.
		"OCI_API_BLOBS_UPLOAD_CANCEL=true", "OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true", "OCI_DATA_SHA512=false",
		harness.Bin("conformance"))
	if r.Code != 0 {
		t.Errorf("conformance:\n%s", r.Output())
	}
	for line := range strings.Lines(r.Output()) {
		if strings.Contains(line, "Unsupported") || strings.Contains(line, "Skip") && !strings.Contains(line, "0") {
			t.Errorf("conformance: %s", line)
		}
	}
}

func isRunning(p *corev1.Pod) error {
	if p.Status.Phase != corev1.PodRunning {
		return fmt.Errorf("pod %s is %s: %+v", p.Name, p.Status.Phase, p.Status.ContainerStatuses)
	}
	return nil
}

// waitsForImage is for a pod whose image could not be pulled, once or more often.
func waitsForImage(p *corev1.Pod) error {
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff") {
			return nil
		}
	}
	return fmt.Errorf("pod %s does not wait for its image: %+v", p.Name, p.Status.ContainerStatuses)
}
