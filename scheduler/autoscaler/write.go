package autoscaler

import (
	"context"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/scheduler/controller"
	"covey.dev/covey/store"
)

// batch is how many autoscalers are written in one transaction.
const batch = 200

// write scales the targets and tells of it, some autoscalers at a time. It returns those whose targets have another size now.
func (a *Autoscaler) write(ctx context.Context, changed []*scaling, now time.Time) (scaled []*scaling, err error) {
	for len(changed) > 0 {
		some := changed[:min(batch, len(changed))]
		changed = changed[len(some):]
		var resized []*scaling
		if _, err := a.cfg.Store.Update(ctx, func(tx *store.Tx) error {
			resized = nil
			for _, c := range some {
				if a.writeOne(tx, c, now) {
					resized = append(resized, c)
				}
			}
			return nil
		}); err != nil {
			return scaled, err
		}
		scaled = append(scaled, resized...)
	}
	return scaled, nil
}

// writeOne leaves an autoscaler that is gone, and a target that has another size by now, to the next step. It reports whether
// the target gets another size.
func (a *Autoscaler) writeOne(tx *store.Tx, c *scaling, now time.Time) (scaled bool) {
	key := store.Key{Resource: resource, Namespace: c.hpa.Namespace, Name: c.hpa.Name}
	rec, ok := tx.Get(key)
	if !ok {
		return false
	}
	hpa := rec.Object().(*autoscalingv2.HorizontalPodAutoscaler)
	if hpa.UID != c.hpa.UID {
		return false
	}
	if c.err == nil && c.status.DesiredReplicas != c.current {
		target, ok := tx.Get(c.key)
		if !ok || target.Object().GetUID() != c.uid || c.target.Replicas(target.Object()) != c.current {
			return false
		}
		tx.Put(c.key, c.target.Resize(target.Object(), c.status.DesiredReplicas), target.Revision())
		scaled = true
	}
	hpa = hpa.DeepCopy()
	hpa.Status = c.status
	c.noteEstimates(hpa)
	tx.Put(key, hpa, rec.Revision())
	for i, e := range c.events {
		a.tell(tx, hpa, e, now.Add(time.Duration(i)))
	}
	return scaled
}

func (a *Autoscaler) tell(tx *store.Tx, hpa *autoscalingv2.HorizontalPodAutoscaler, e event, now time.Time) {
	told := controller.Event{
		Regarding: corev1.ObjectReference{
			Kind: "HorizontalPodAutoscaler", APIVersion: autoscalingv2.SchemeGroupVersion.String(),
			Namespace: hpa.Namespace, Name: hpa.Name, UID: hpa.UID,
		},
		Source: "horizontal-pod-autoscaler", Type: e.kind, Reason: e.reason, Message: e.message,
	}
	obj := told.Object(now, a.cfg.NewUID())
	key := store.Key{Resource: "events", Namespace: obj.Namespace, Name: obj.Name}
	if _, taken := tx.Get(key); taken {
		return // the clock stands still; the status says the same
	}
	tx.Create(key, obj)
}
