package agent

import (
	"slices"
	"testing"
	"time"
)

func TestImagesThatWereNotUsedForLongestGoFirst(t *testing.T) {
	now := time.Now()
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	images := []Image{
		{Ref: "young", CreatedAt: ago(1)},
		{Ref: "fresh-use", CreatedAt: ago(99)},
		{Ref: "oldest", CreatedAt: ago(90)},
		{Ref: "used-lately", CreatedAt: ago(95)},
		{Ref: "middle-small", CreatedAt: ago(50), SizeBytes: 1},
		{Ref: "middle-big", CreatedAt: ago(50), SizeBytes: 2},
		{Ref: "loaded", CreatedAt: ago(99), Loaded: true},
		{Ref: "pinned", CreatedAt: ago(99), Pinned: true},
		{Ref: "in-use", CreatedAt: ago(99)},
		{Ref: "same-as-in-use", CreatedAt: ago(99), Digest: "sha256:1"},
	}
	use := imageUse{last: map[string]time.Time{"used-lately": ago(10), "fresh-use": ago(0), "in-use": ago(0), "oldest": ago(200)}}
	var got []string
	for _, i := range use.removable(images, map[string]bool{"in-use": true, "sha256:1": true}, now, 2*time.Minute) {
		got = append(got, i.Ref)
	}
	if want := []string{"oldest", "middle-big", "middle-small", "used-lately", "loaded"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestAnImageOfTheFutureIsNotKept has a clock that stands at 1970 until it is set, or that was ahead when images came.
func TestAnImageOfTheFutureIsNotKept(t *testing.T) {
	now := time.Date(1970, 1, 1, 1, 0, 0, 0, time.UTC)
	then := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	images := []Image{{Ref: "used", CreatedAt: then}, {Ref: "used-just-now", CreatedAt: then}, {Ref: "unused", CreatedAt: then}, {Ref: "came", CreatedAt: now}}
	use := imageUse{last: map[string]time.Time{"used": now.Add(-time.Hour), "used-just-now": now}}
	for _, young := range []time.Duration{0, youngImage} {
		var got []string
		for _, i := range use.removable(images, nil, now, young) {
			got = append(got, i.Ref)
		}
		want := []string{"unused", "used"}
		if young == 0 {
			want = append(want, "used-just-now", "came")
		}
		if !slices.Equal(got, want) {
			t.Errorf("young for %s: %v, want %v", young, got, want)
		}
	}
}
