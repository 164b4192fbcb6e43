package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/runtimetest"
)

const privateImage = "registry.example/team/app:1"

// private has the fake's registry want a user, and notes who came.
func (f *fixture) private(user string) (came *[]string) {
	came = &[]string{}
	var mu sync.Mutex
	f.runtime.Pullable[privateImage] = runtimetest.FakeImage{}
	f.runtime.AskRegistry = func(_ string, auth agent.Credentials) error {
		mu.Lock()
		defer mu.Unlock()
		name := "nobody"
		if c := auth("registry.example"); c != nil {
			name = c.Username
		}
		*came = append(*came, name)
		if name != user {
			return errors.New("401 Unauthorized")
		}
		return nil
	}
	return came
}

func (f *fixture) secret(name, key, content string) {
	f.cluster.change(func() { f.cluster.secrets[name] = &corev1.Secret{Data: map[string][]byte{key: []byte(content)}} })
}

func (f *fixture) saw(event string) bool {
	f.cluster.mu.Lock()
	defer f.cluster.mu.Unlock()
	return slices.ContainsFunc(f.cluster.events, func(e string) bool { return strings.Contains(e, event) })
}

func privatePod(name string, secrets ...string) *corev1.Pod {
	p := newPod(name, "sleep")
	p.Spec.Containers[0].Image = privateImage
	for _, s := range secrets {
		p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
	}
	return p
}

// TestPullSecretsAreTriedOneAfterTheOther has a secret that is not there, one for another part of the registry, one that is
// refused, and the right one last.
func TestPullSecretsAreTriedOneAfterTheOther(t *testing.T) {
	f := setup(t)
	came := f.private("right")
	f.secret("other", corev1.DockerConfigJsonKey, `{"auths":{"registry.example/others":{"username":"other","password":"1"}}}`)
	f.secret("old", corev1.DockerConfigKey, `{"registry.example/team":{"username":"old","password":"1"}}`)
	f.secret("new", corev1.DockerConfigJsonKey, `{"auths":{"registry.example":{"username":"right","password":"2"}}}`)
	uid := f.add(privatePod("a", "absent", "other", "old", "new"))
	f.await(uid, "ready", isReady)
	if want := []string{"old", "right"}; !slices.Equal(*came, want) {
		t.Errorf("%v came, want %v", *came, want)
	}
	for _, want := range []string{
		"FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (absent);",
		fmt.Sprintf("Pulling: Pulling image %q", privateImage),
		fmt.Sprintf("Pulled: Successfully pulled image %q in ", privateImage), "including waiting). Image size: ",
	} {
		if !f.saw(want) {
			t.Errorf("no event %q: %q", want, f.cluster.events)
		}
	}
	f.remove(uid, 1)
}

func TestTheNodesOwnCredentialsServePodsWithoutAny(t *testing.T) {
	f := setup(t)
	f.private("node")
	config := `{"auths":{"registry.example":{"auth":"bm9kZTpzZWNyZXQ="}}}`
	if err := os.WriteFile(filepath.Join(f.cfg.RegistryConfig, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	uid := f.add(privatePod("a"))
	f.await(uid, "ready", isReady)
	f.remove(uid, 1)
}

// TestPodsThatWantTheSameImagePullItOnce holds the pull until all of them wait for it.
func TestPodsThatWantTheSameImagePullItOnce(t *testing.T) {
	f := setup(t)
	f.runtime.Pullable[privateImage] = runtimetest.FakeImage{}
	var pulls int
	waiting := make(chan struct{})
	f.runtime.AskRegistry = func(string, agent.Credentials) error {
		pulls++
		<-waiting
		return nil
	}
	pods := []*corev1.Pod{privatePod("a"), privatePod("b"), privatePod("c")}
	for _, p := range pods {
		f.add(p)
	}
	f.eventually("all waiting", func() bool {
		f.cluster.mu.Lock()
		defer f.cluster.mu.Unlock()
		n := 0
		for _, e := range f.cluster.events {
			if strings.HasPrefix(e, "Pulling: ") {
				n++
			}
		}
		return n == len(pods)
	})
	close(waiting)
	for _, p := range pods {
		f.await(p.UID, "ready", isReady)
		f.remove(p.UID, 1)
	}
	if pulls != 1 {
		t.Errorf("pulled %d times", pulls)
	}
}

// TestAnImageThatComesToAnotherNodeEndsTheWait lets a pull fail, and then another node say that it has the image.
func TestAnImageThatComesToAnotherNodeEndsTheWait(t *testing.T) {
	f := setup(t, timeStandsStill)
	uid := f.add(privatePod("a"))
	f.await(uid, "without its image", waiting("ErrImagePull"))
	f.cluster.change(func() {
		f.runtime.Pullable[privateImage] = runtimetest.FakeImage{}
		node := &corev1.Node{}
		node.Name, node.Status.Images = "n2", []corev1.ContainerImage{{Names: []string{privateImage}}}
		f.cluster.nodes = append(f.cluster.nodes, node)
	})
	f.await(uid, "ready", isReady)
	f.eventually("the node says that it has the image", func() bool {
		f.cluster.mu.Lock()
		defer f.cluster.mu.Unlock()
		return slices.ContainsFunc(f.cluster.node.Status.Images, func(i corev1.ContainerImage) bool { return slices.Contains(i.Names, privateImage) })
	})
	f.remove(uid, 1)
}

func TestAnImageNameThatIsNone(t *testing.T) {
	f := setup(t)
	p := newPod("a", "sleep")
	p.Spec.Containers[0].Image = "Not/A:Name:1"
	uid := f.add(p)
	f.await(uid, "without its image", waiting("InvalidImageName"))
	if want := `InspectFailed: Failed to apply default image tag "Not/A:Name:1": couldn't parse image name`; !f.saw(want) {
		t.Errorf("no event %q: %q", want, f.cluster.events)
	}
	f.remove(uid, 1)
}
