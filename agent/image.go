package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
)

// puller pulls an image once when several containers want it at the same time.
type puller struct {
	runtime Images
	group   singleflight.Group
	ctx     context.Context // ends with the agent; set before the first pull
	running sync.WaitGroup
}

// normalize writes an image's name in full: "busybox" is "docker.io/library/busybox:latest".
func normalize(image string) (string, error) {
	ref, err := reference.ParseDockerRef(image)
	if err != nil {
		return "", fmt.Errorf("couldn't parse image name %q: %w", image, err)
	}
	return ref.String(), nil
}

// repository is the name without tag and digest.
func repository(image string) string {
	ref, err := reference.ParseDockerRef(image)
	if err != nil {
		return image
	}
	return ref.Name()
}

// ensureImage returns the name of an image that is present, pulled if the policy says so.
func (w *worker) ensureImage(ctx context.Context, pod *corev1.Pod, c *corev1.Container, before *problem) (string, *problem) {
	ref, err := normalize(c.Image)
	if err != nil {
		return "", w.fail(before, "InvalidImageName", err, firstBackOff, longestBackOff)
	}
	path := fieldPath(pod, c.Name)
	_, err = w.runtime.Image(ctx, ref)
	present := err == nil
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return "", w.fail(before, "ImageInspectError", err, firstBackOff, longestBackOff)
	case present && c.ImagePullPolicy != corev1.PullAlways:
		w.event(corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine", c.Image), path)
		return ref, nil
	case !present && c.ImagePullPolicy == corev1.PullNever:
		err := fmt.Errorf("container image %q is not present with pull policy of Never", c.Image)
		w.event(corev1.EventTypeWarning, "ErrImageNeverPull", fmt.Sprintf("Container image %q is not present with pull policy of Never", c.Image), path)
		return "", w.fail(before, "ErrImageNeverPull", err, firstBackOff, longestBackOff)
	}
	w.event(corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", c.Image), path)
	image, err := w.images.pull(ctx, ref, w.credentials(ctx, pod, ref))
	if err != nil {
		return "", w.pullFailed(before, c.Image, path, err)
	}
	w.event(corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Successfully pulled image %q. Image size: %d bytes.", c.Image, image.SizeBytes), path)
	return ref, nil
}

// imageProblems are the reasons that an image's arrival may mend.
var imageProblems = map[string]bool{"ErrImagePull": true, "ImagePullBackOff": true, "ErrImageNeverPull": true, "ImageInspectError": true}

// retryImages lets what failed for want of an image be tried again at once.
func retryImages(problems map[string]*problem) {
	for _, p := range problems {
		if imageProblems[p.reason] {
			p.retry = time.Time{}
		}
	}
}

// pullFailed is ErrImagePull the first time and ImagePullBackOff after it, as users know it.
func (w *worker) pullFailed(before *problem, image, path string, err error) *problem {
	w.event(corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %s", image, err), path)
	message := fmt.Errorf("failed to pull image %q: %w", image, err)
	if before == nil || before.reason != "ErrImagePull" && before.reason != "ImagePullBackOff" {
		return w.fail(nil, "ErrImagePull", message, firstBackOff, longestBackOff)
	}
	again := *before
	again.reason = "ImagePullBackOff"
	p := w.fail(&again, "ImagePullBackOff", message, firstBackOff, longestBackOff)
	p.message = fmt.Sprintf("Back-off pulling image %q: %s", image, message)
	w.event(corev1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", image), path)
	return p
}

// pull shares a pull that is under way; each caller gives up with its own ctx.
func (p *puller) pull(ctx context.Context, ref string, auth *RegistryAuth) (Image, error) {
	key := ref
	if auth != nil {
		key += "\x00" + auth.Username + "\x00" + auth.Password
	}
	result := p.group.DoChan(key, func() (any, error) { return p.runtime.Pull(p.ctx, ref, auth, nil) })
	var r singleflight.Result
	done := make(chan struct{})
	p.running.Go(func() { // so that the agent does not end before the pull does
		defer close(done)
		r = <-result
	})
	select {
	case <-ctx.Done():
		return Image{}, ctx.Err()
	case <-done:
		if r.Err != nil {
			return Image{}, r.Err
		}
		return r.Val.(Image), nil
	}
}

// credentials finds the registry's among the pod's imagePullSecrets.
func (w *worker) credentials(ctx context.Context, pod *corev1.Pod, ref string) *RegistryAuth {
	registry, _, _ := strings.Cut(ref, "/")
	for _, named := range pod.Spec.ImagePullSecrets {
		secret, err := w.upstream.Secret(ctx, pod.Namespace, named.Name)
		if err != nil {
			continue
		}
		if auth := dockerAuth(secret, registry); auth != nil {
			return auth
		}
	}
	return nil
}

type dockerConfig map[string]struct {
	Username, Password string
	Auth               string // base64 of user:password
}

func dockerAuth(secret *corev1.Secret, registry string) *RegistryAuth {
	var auths dockerConfig
	if data, ok := secret.Data[corev1.DockerConfigJsonKey]; ok {
		var file struct{ Auths dockerConfig }
		if json.Unmarshal(data, &file) != nil {
			return nil
		}
		auths = file.Auths
	} else if json.Unmarshal(secret.Data[corev1.DockerConfigKey], &auths) != nil {
		return nil
	}
	for server, auth := range auths {
		host := strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
		host, _, _ = strings.Cut(host, "/")
		if host == "index.docker.io" {
			host = "docker.io"
		}
		if host != registry {
			continue
		}
		if auth.Username == "" && auth.Auth != "" {
			plain, _ := base64.StdEncoding.DecodeString(auth.Auth)
			auth.Username, auth.Password, _ = strings.Cut(string(plain), ":")
		}
		return &RegistryAuth{Username: auth.Username, Password: auth.Password}
	}
	return nil
}
