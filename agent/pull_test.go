package agent

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

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
