package agent

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// alive are nodes that can be reached.
type alive struct {
	http.RoundTripper
	names []string
}

func (a alive) Alive() []string { return slices.Clone(a.names) }

func (a alive) Servers() []string            { return nil }
func (a alive) OfServer(*http.Response) bool { return true }

func nodeWith(name string, images ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Images = []corev1.ContainerImage{{Names: images}}
	return n
}

func TestHolders(t *testing.T) {
	const app, digest = "docker.io/library/app:1", "sha256:1234"
	h := &holders{Peers: alive{names: []string{"a", "b", "c"}}, self: "me"}
	a := nodeWith("a", app, "docker.io/library/app@"+digest)
	if arrived := h.follow([]*corev1.Node{a, nodeWith("dead", app, "docker.io/library/de:1"), nodeWith("me", "docker.io/library/mine:1")}); len(arrived) != 3 || !arrived[app] {
		t.Errorf("at first %v arrived, want what other nodes have", arrived)
	}
	for _, image := range []string{app, digest} {
		if got := h.Holders(image); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%s: %v, want the node that has it and is alive", image, got)
		}
	}
	if got := h.Holders("docker.io/library/other:1"); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"a", "b", "c"}) {
		t.Errorf("an image that none says it has: %v, want those that are alive", got)
	}
	failed := errors.New("no registry")
	for image, want := range map[string]string{
		app:                      "no registry",
		"docker.io/library/no:1": "no registry; no other node has it",
		"docker.io/library/de:1": "no registry; of the nodes dead has it, and cannot be reached",
	} {
		if err := h.whereElse(image, failed); !errors.Is(err, failed) || err.Error() != want {
			t.Errorf("%s: %v, want %q", image, err, want)
		}
	}
	if arrived := h.follow([]*corev1.Node{a, nodeWith("b", app, "docker.io/library/new:1")}); len(arrived) != 2 || !arrived[app] {
		t.Errorf("%v arrived on b", arrived)
	}
	if arrived := h.follow([]*corev1.Node{a, nodeWith("b", "docker.io/library/new:1")}); len(arrived) != 0 {
		t.Errorf("%v arrived when one went", arrived)
	}
}

func TestImageStatus(t *testing.T) {
	list := []Image{
		{Ref: "docker.io/library/small:1", Digest: "sha256:1", SizeBytes: 1},
		{Ref: "docker.io/library/big:1", Digest: "sha256:2", SizeBytes: 9},
		{Ref: "docker.io/library/big:latest", Digest: "sha256:2", SizeBytes: 9},
	}
	got := imageStatus(list)
	want := [][]string{{"docker.io/library/big:1", "docker.io/library/big:latest", "docker.io/library/big@sha256:2"}, {"docker.io/library/small:1", "docker.io/library/small@sha256:1"}}
	if len(got) != 2 || !slices.Equal(got[0].Names, want[0]) || !slices.Equal(got[1].Names, want[1]) {
		t.Errorf("got %v", got)
	}
	for i := range 2 * mostImages {
		list = append(list, Image{Ref: fmt.Sprintf("docker.io/library/many:%d", i), Digest: fmt.Sprintf("sha256:%064d", i), CreatedAt: time.Unix(int64(i), 0)})
	}
	list = append(list, Image{Ref: "docker.io/library/loaded:1", Digest: "sha256:3", Loaded: true})
	got = imageStatus(list)
	if len(got) != mostImages || !slices.ContainsFunc(got, func(i corev1.ContainerImage) bool { return i.Names[0] == "docker.io/library/loaded:1" }) {
		t.Errorf("of very many there are %d, with the loaded one?", len(got))
	}
}
