package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/keyring"
)

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
	path := fieldPath(pod, c.Name)
	ref, err := normalize(c.Image)
	if err != nil {
		w.event(corev1.EventTypeWarning, "InspectFailed", fmt.Sprintf("Failed to apply default image tag %q: %s", c.Image, err), path)
		return "", w.fail(before, "InvalidImageName", err, firstBackOff, longestBackOff)
	}
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
	asked := w.Now()
	got, err := w.images.pull(ctx, PullRequest{Ref: ref, Refresh: c.ImagePullPolicy == corev1.PullAlways}, w.keyring(ctx, pod))
	if err != nil {
		if w.Peers != nil {
			err = w.holders.whereElse(ref, err)
		}
		return "", w.pullFailed(before, c.Image, path, err)
	}
	w.event(corev1.EventTypeNormal, "Pulled", pulledMessage(c.Image, got, w.Now().Sub(asked)), path)
	return ref, nil
}

// pulledMessage is in the kubelet's words, and says where the image came from.
func pulledMessage(name string, got pulled, waited time.Duration) string {
	waited = waited.Round(time.Millisecond)
	var b strings.Builder
	if len(got.From) == 0 && got.Unasked != nil {
		fmt.Fprintf(&b, "Container image %q already present on machine.", name)
	} else {
		fmt.Fprintf(&b, "Successfully pulled image %q in %s (%s including waiting). Image size: %d bytes.",
			name, min(got.took.Round(time.Millisecond), waited), waited, got.Image.SizeBytes)
	}
	if len(got.From) > 0 {
		fmt.Fprintf(&b, " It came from %s.", strings.Join(got.From, ", "))
	}
	if got.Unasked != nil {
		fmt.Fprintf(&b, " The registry could not be asked whether it has another: %s", got.Unasked)
	}
	return b.String()
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
	if before == nil || before.reason != "ErrImagePull" && before.reason != "ImagePullBackOff" {
		return w.fail(nil, "ErrImagePull", err, firstBackOff, longestBackOff)
	}
	again := *before
	again.reason = "ImagePullBackOff"
	p := w.fail(&again, "ImagePullBackOff", fmt.Errorf("Back-off pulling image %q: ErrImagePull: %w", image, err), firstBackOff, longestBackOff) //nolint:staticcheck // as users know it
	w.event(corev1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", image), path)
	return p
}

// keyring holds the credentials of the pod's imagePullSecrets, and after them the node's own.
func (w *worker) keyring(ctx context.Context, pod *corev1.Pod) *keyring.Keyring {
	ring := &keyring.Keyring{}
	var failed []string
	for _, named := range pod.Spec.ImagePullSecrets {
		secret, err := w.upstream.Secret(ctx, pod.Namespace, named.Name)
		var found keyring.Keyring
		if err == nil {
			found, err = keyring.FromSecret(secret)
		}
		if err != nil {
			failed = append(failed, named.Name)
			w.Logger.Debug("an image pull secret is not usable", "pod", w.ref, "secret", named.Name, "error", err)
		}
		ring.Add(found)
	}
	if len(failed) > 0 {
		w.event(corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret", fmt.Sprintf(
			"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", strings.Join(failed, ", ")), "")
	}
	ring.Add(w.nodeKeyring())
	return ring
}

// nodeKeyring holds the node's own credentials. They are read anew for each pull, so that they can be renewed.
func (a *Agent) nodeKeyring() keyring.Keyring {
	if a.RegistryConfig == "" {
		return keyring.Keyring{}
	}
	ring, err := keyring.FromFile(filepath.Join(a.RegistryConfig, "config.json"))
	if err != nil {
		a.Logger.Warn("the node's own registry credentials are not usable", "error", err)
	}
	return ring
}
