package node

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// keepSystemObjects makes the objects that every cluster has, where they are missing.
func (n *node) keepSystemObjects(ctx context.Context) error {
	for {
		_, err := n.store.Update(ctx, func(tx *store.Tx) error { addSystemObjects(tx, n.clock.Stamp()); return nil })
		if err == nil {
			return nil
		}
		if !sleep(ctx, memberRetry) {
			return nil
		}
		n.log.Warn("the system's priority classes were not made yet", "error", err)
	}
}

func addSystemObjects(tx *store.Tx, now time.Time) {
	classes := kind.Find("scheduling.k8s.io", "v1", "priorityclasses")
	for _, class := range kind.SystemPriorityClasses() {
		key := store.Key{Resource: classes.Resource(), Name: class.Name}
		if _, there := tx.Get(key); there {
			continue
		}
		class.UID, class.CreationTimestamp = uuid.NewUUID(), metav1.NewTime(now).Rfc3339Copy()
		tx.Create(key, class)
	}
}
