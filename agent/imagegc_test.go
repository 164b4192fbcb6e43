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
	for _, i := range use.removable(images, map[string]bool{"in-use": true, "sha256:1": true}, ago(2)) {
		got = append(got, i.Ref)
	}
	if want := []string{"oldest", "middle-big", "middle-small", "used-lately", "loaded"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
