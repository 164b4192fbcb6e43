package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/eviction"
)

const (
	// youngImage is how long an image is kept after it came or was used: somebody is about to use it.
	youngImage = 2 * time.Minute
	// imagesAgain is how long to wait after nothing could be removed.
	imagesAgain = 5 * time.Minute
)

// imageUse remembers when images were used last; those of before covey's start count from when they came.
type imageUse struct {
	last  map[string]time.Time // by name
	tried time.Time            // when the last collection found too little to remove
}

// note remembers the images of all containers that are there.
func (u *imageUse) note(ctx context.Context, rt Runtime, now time.Time) {
	all, err := rt.List(ctx)
	if err != nil {
		return
	}
	for i := range all {
		u.last[all[i].Image] = now
	}
}

// removable are the images that may go, the first to go first: those pulled before those loaded from an archive, which
// nobody brings back, and then those that were not used for longest. An image in use, a pinned one, and one used or come
// less than young ago stay. One that came later than now, by a clock that was set since, is as old as its last use.
func (u *imageUse) removable(images []Image, inUse map[string]bool, now time.Time, young time.Duration) []Image {
	lastUse := func(i *Image) time.Time {
		if used := u.last[i.Ref]; used.After(i.CreatedAt) || i.CreatedAt.After(now) {
			return used
		}
		return i.CreatedAt
	}
	list := slices.DeleteFunc(slices.Clone(images), func(i Image) bool {
		return i.Pinned || inUse[i.Ref] || inUse[i.Digest] || lastUse(&i).After(now.Add(-young))
	})
	slices.SortStableFunc(list, func(a, b Image) int {
		if a.Loaded != b.Loaded {
			if b.Loaded {
				return -1
			}
			return 1
		}
		return cmp.Or(lastUse(&a).Compare(lastUse(&b)), cmp.Compare(b.SizeBytes, a.SizeBytes))
	})
	return list
}

// imagesInUse are the names and digests of what containers run, and the names of what pods are about to run.
func (k *keeper) imagesInUse(ctx context.Context) (map[string]bool, error) {
	all, err := k.runtime.List(ctx)
	if err != nil {
		return nil, err
	}
	inUse := map[string]bool{}
	for i := range all {
		inUse[all[i].Image], inUse[all[i].ImageID] = true, true
	}
	for _, w := range k.active(func(*worker) bool { return true }) {
		spec := &w.currentPod().Spec
		for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
			for i := range list {
				if ref, err := normalize(list[i].Image); err == nil {
					inUse[ref] = true
				}
			}
		}
	}
	delete(inUse, "")
	return inUse, nil
}

// collectImages removes images when their file system is fuller than the high threshold, until it is down to the low one.
func (k *keeper) collectImages(ctx context.Context) {
	above := func(percent int) bool {
		left, err := k.Observe()
		level, known := left[eviction.ImageFSAvailable]
		return err == nil && known && 100*(level.Capacity-level.Available) > int64(percent)*level.Capacity
	}
	if !above(k.ImageGCHigh) || k.Now().Before(k.images.tried.Add(imagesAgain)) {
		return
	}
	removed, size := k.removeImages(ctx, func() bool { return above(k.ImageGCLow) }, youngImage)
	k.Logger.Info("images were removed to make room", "count", removed, "bytes", size)
	if above(k.ImageGCLow) && ctx.Err() == nil {
		k.images.tried = k.Now()
		k.upstream.NodeEvent(k.NodeName, corev1.EventTypeWarning, "FreeDiskSpaceFailed", fmt.Sprintf(
			"Failed to garbage collect required amount of images: the file system of images is still fuller than %d %%", k.ImageGCLow))
	}
}

// removeImages removes unused images as long as it is wanted.
func (k *keeper) removeImages(ctx context.Context, wanted func() bool, young time.Duration) (removed int, size int64) {
	images, err := k.runtime.ListImages(ctx)
	if err == nil {
		var inUse map[string]bool
		if inUse, err = k.imagesInUse(ctx); err == nil {
			images = k.images.removable(images, inUse, k.Now(), young)
		}
	}
	if err != nil {
		k.Logger.Warn("unused images could not be found", "error", err)
		return 0, 0
	}
	for _, image := range images {
		if ctx.Err() != nil || !wanted() {
			break
		}
		if err := k.runtime.RemoveImage(ctx, image.Ref); err != nil && !errors.Is(err, ErrNotFound) {
			k.Logger.Warn("an unused image could not be removed", "image", image.Ref, "error", err)
			continue
		}
		k.Logger.Info("removed an unused image", "image", image.Ref, "bytes", image.SizeBytes)
		delete(k.images.last, image.Ref)
		removed, size = removed+1, size+image.SizeBytes
	}
	return removed, size
}
