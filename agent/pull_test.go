package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/keyring"
)

// holds are images that cannot be pulled, and one of which is there.
type holds struct {
	Images
	image Image
}

func (h holds) Image(context.Context, string) (Image, error) { return h.image, nil }

// TestAnImageThatHasComeIsNotPulled is about one that another pod's pull brought after this one's looked for it.
func TestAnImageThatHasComeIsNotPulled(t *testing.T) {
	there := Image{Ref: "docker.io/library/app:1", SizeBytes: 7}
	p := &puller{runtime: holds{image: there}, ctx: t.Context()}
	got, err := p.pull(t.Context(), PullRequest{Ref: there.Ref}, &keyring.Keyring{})
	if err != nil || got.Image != there || len(got.From) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// deaf is an upstream that takes events only.
type deaf struct{ Upstream }

func (deaf) Event(PodRef, string, string, string, string) {}

// TestAPullThatFailsBacksOff follows one container's image over many failures.
func TestAPullThatFailsBacksOff(t *testing.T) {
	now := time.Unix(0, 0)
	w := newWorker(&Agent{Config: Config{Now: func() time.Time { return now }}, upstream: deaf{}}, &corev1.Pod{})
	var p *problem
	for i, want := range []struct {
		reason, message string
		wait            time.Duration
	}{
		{"ErrImagePull", "no route", 10 * time.Second},
		{"ImagePullBackOff", `Back-off pulling image "app:1": ErrImagePull: no route`, 20 * time.Second},
		{"ImagePullBackOff", `Back-off pulling image "app:1": ErrImagePull: no route`, 40 * time.Second},
		{"ImagePullBackOff", `Back-off pulling image "app:1": ErrImagePull: no route`, 80 * time.Second},
		{"ImagePullBackOff", `Back-off pulling image "app:1": ErrImagePull: no route`, 160 * time.Second},
		{"ImagePullBackOff", `Back-off pulling image "app:1": ErrImagePull: no route`, 300 * time.Second},
		{"ImagePullBackOff", `Back-off pulling image "app:1": ErrImagePull: no route`, 300 * time.Second},
	} {
		p = w.pullFailed(p, "app:1", "", errors.New("no route"))
		if p.reason != want.reason || p.message != want.message || p.retry.Sub(now) != want.wait {
			t.Errorf("failure %d: %s %q after %s, want %+v", i+1, p.reason, p.message, p.retry.Sub(now), want)
		}
	}
}
