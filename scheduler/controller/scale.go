package controller

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (o *rollout) want() int32 { return replicas(o.d.Spec.Replicas) }

func (o *rollout) total() int32 {
	n := int32(0)
	for _, s := range o.sets {
		n += s.size()
	}
	return n
}

func (o *rollout) active() []*replicaSet {
	return slices.DeleteFunc(slices.Clone(o.sets), func(s *replicaSet) bool { return s.size() == 0 })
}

func (o *rollout) isRolling() bool {
	return o.d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType
}

// bounds resolves maxSurge (rounded up) and maxUnavailable (rounded down); when both come to nothing, one pod may be
// unavailable, or there would be no way forward.
func (o *rollout) bounds() (surge, unavailable int32) {
	if !o.isRolling() {
		return 0, 0
	}
	var params appsv1.RollingUpdateDeployment
	if o.d.Spec.Strategy.RollingUpdate != nil {
		params = *o.d.Spec.Strategy.RollingUpdate
	}
	quarter, want := intstr.FromString("25%"), int(o.want())
	// The API has checked both values.
	s, _ := intstr.GetScaledValueFromIntOrPercent(cmp.Or(params.MaxSurge, &quarter), want, true)
	u, _ := intstr.GetScaledValueFromIntOrPercent(cmp.Or(params.MaxUnavailable, &quarter), want, false)
	if s == 0 && u == 0 {
		u = 1
	}
	return int32(s), int32(u)
}

func (o *rollout) maxSurge() int32 {
	surge, _ := o.bounds()
	return surge
}

func (o *rollout) maxUnavailable() int32 {
	_, unavailable := o.bounds()
	return min(unavailable, o.want())
}

// noteSize leaves on a replica set what the deployment's size is, by which a change of it is noticed.
func (o *rollout) noteSize(s *replicaSet) {
	for note, n := range map[string]int32{desiredNote: o.want(), maximumNote: o.want() + o.maxSurge()} {
		if text := strconv.Itoa(int(n)); s.Annotations[note] != text {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, note, text)
			s.changed = true
		}
	}
}

func noted(s *replicaSet, note string) (int32, bool) {
	n, err := strconv.ParseInt(s.Annotations[note], 10, 32)
	return int32(n), err == nil && n >= 0
}

// wasScaled says whether the deployment's size changed since its replica sets were last sized.
func (o *rollout) wasScaled() bool {
	for _, s := range o.active() {
		if n, ok := noted(s, desiredNote); ok && n != o.want() {
			return true
		}
	}
	return false
}

// scale takes over a new size without taking a step of a rollout: a single replica set gets it, several get their share
// of what is to be added or taken away.
func (o *rollout) scale() {
	active := o.active()
	if len(active) <= 1 {
		if s := o.activeOrLatest(active); s != nil {
			if s.size() == o.want() {
				o.noteSize(s)
			}
			o.resize(s, o.want())
		}
		return
	}
	if o.isSaturated() {
		for _, s := range o.old() {
			o.resize(s, 0)
		}
		return
	}
	if o.isRolling() {
		o.scaleInProportion(active)
		return
	}
	for _, s := range active { // recreate goes on with the new size
		o.noteSize(s)
	}
}

func (o *rollout) activeOrLatest(active []*replicaSet) *replicaSet {
	switch {
	case len(active) == 1:
		return active[0]
	case o.next != nil:
		return o.next
	case len(o.sets) > 0:
		return o.sets[len(o.sets)-1]
	}
	return nil
}

// isSaturated says whether the new replica set alone has all the pods, and all of them are available.
func (o *rollout) isSaturated() bool {
	if o.next == nil {
		return false
	}
	n, ok := noted(o.next, desiredNote)
	return ok && n == o.want() && o.next.size() == o.want() && o.next.Status.AvailableReplicas == o.want()
}

func (o *rollout) scaleInProportion(active []*replicaSet) {
	allowed := int32(0)
	if o.want() > 0 {
		allowed = o.want() + o.maxSurge()
	}
	toAdd := allowed - o.total()
	// The largest first; among equals the newest when adding, the oldest when taking away.
	slices.SortStableFunc(active, func(a, b *replicaSet) int {
		age := a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
		if toAdd > 0 {
			age = -age
		}
		return cmp.Or(cmp.Compare(b.size(), a.size()), age)
	})
	sizes, added := make([]int32, len(active)), int32(0)
	for i, s := range active {
		share := o.share(s, toAdd, toAdd-added)
		sizes[i] = s.size() + share
		added += share
	}
	sizes[0] = max(sizes[0]+toAdd-added, 0) // what rounding left over
	for i, s := range active {
		o.noteSize(s)
		o.resize(s, sizes[i])
	}
}

// share is what of toAdd falls to one replica set: its part of the deployment before the change, within what is left.
func (o *rollout) share(s *replicaSet, toAdd, left int32) int32 {
	if toAdd == 0 || left == 0 || s.size() == 0 {
		return 0
	}
	part := -s.size()
	if o.want() > 0 {
		before, ok := noted(s, maximumNote)
		if !ok || before == 0 {
			before = o.d.Status.Replicas
		}
		if before == 0 {
			return 0
		}
		part += int32(math.Round(float64(s.size()) * float64(o.want()+o.maxSurge()) / float64(before)))
	}
	if toAdd > 0 {
		return min(part, left)
	}
	return max(part, left)
}
