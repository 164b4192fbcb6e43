package node

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/join"
	"covey.dev/covey/node/registry"
	"covey.dev/covey/store"
)

// keepExpired is how long a token or a login is there after its end: whoever shows it meanwhile is told that it has ended.
const keepExpired = 24 * time.Hour

// expirations are what says when a Secret of that type has ended.
var expirations = map[corev1.SecretType]string{join.SecretType: join.Expiration, registry.LoginType: registry.LoginExpiration}

// removeExpired deletes tokens and logins that ended long ago, and admissions of nodes that never started, until ctx ends.
func (n *node) removeExpired(ctx context.Context) error {
	return follow(ctx, n.store, func(snap *store.Snapshot) (time.Duration, error) {
		if len(expired(snap, n.now())) > 0 {
			if _, err := n.store.Update(ctx, func(tx *store.Tx) error {
				for _, rec := range expired(tx.Snapshot(), n.now()) {
					tx.Delete(rec.Key(), rec.Revision())
				}
				return nil
			}); err != nil {
				n.log.Debug("expired tokens, logins and admissions are not deleted yet", "error", err)
				return memberRetry, nil
			}
		}
		return keysPatience, nil // days more or less do not matter
	}, "secrets", admissionsTable)
}

func expired(snap *store.Snapshot, now time.Time) (gone []*store.Record) {
	for rec := range snap.List("secrets", metav1.NamespaceSystem) {
		secret, ok := rec.Object().(*corev1.Secret)
		if !ok || expirations[secret.Type] == "" {
			continue
		}
		until, err := time.Parse(time.RFC3339, string(secret.Data[expirations[secret.Type]]))
		if err == nil && now.After(until.Add(keepExpired)) {
			gone = append(gone, rec)
		}
	}
	for rec := range snap.List(admissionsTable, "") {
		if a, ok := admissionIn(rec); !ok || now.Sub(a.Time) >= join.AdmissionLife {
			gone = append(gone, rec)
		}
	}
	return gone
}
