package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
)

// savedState is a backup of a state with one object.
func savedState(t *testing.T) []byte {
	t.Helper()
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "a", Scheme: kind.Scheme(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = over(t.Context(), st.Run, func(ctx context.Context) error {
		if _, err := st.AwaitLeader(ctx); err != nil {
			return err
		}
		_, err := st.Update(ctx, func(tx *store.Tx) error {
			tx.Create(store.Key{Resource: "configmaps", Namespace: "shop", Name: "a"}, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}})
			return nil
		})
		if err != nil {
			return err
		}
		return st.Snapshot().WriteBackup(&out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestARestoredStateIsNotGivenUp for what was to become of the one before: the node had left its cluster, or was to copy a newer state.
func TestARestoredStateIsNotGivenUp(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	for file, text := range map[string]string{leftFile: leftText, yieldFile: "4294967297", recoverFile: "yes\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := RestoreDir(t.Context(), dir, bytes.NewReader(savedState(t)), log); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(filepath.Join(dir, "identity"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	authority := id.CAFingerprint()
	if err := errors.Join(checkLeft(dir), settleState(dir, log)); err != nil {
		t.Fatal(err)
	}
	if id, err = identity.Open(filepath.Join(dir, "identity"), time.Now); err != nil || id.CAFingerprint() != authority {
		t.Errorf("the node has another CA: %v", err)
	}
	st, err := store.Open(store.Config{Dir: filepath.Join(dir, "store"), NodeID: id.NodeID(), Scheme: kind.Scheme(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	err = over(t.Context(), st.Run, func(ctx context.Context) error {
		snap, err := st.Linearizable(ctx)
		if err == nil {
			if _, ok := snap.Get(store.Key{Resource: "configmaps", Namespace: "shop", Name: "a"}); !ok {
				t.Error("the restored object is not there")
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestARestoreThatWasCutOffLosesNothing: the CA's key may have been copied back before it.
func TestARestoreThatWasCutOffLosesNothing(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "identity", "cluster.json")
	if err := errors.Join(os.Mkdir(filepath.Dir(key), 0o700), os.WriteFile(key, nil, 0o600), os.WriteFile(filepath.Join(dir, leftFile), []byte(leftText), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := supersede(dir); err != nil {
		t.Fatal(err)
	}
	if err := checkLeft(dir); !errors.Is(err, ErrLeft) || !strings.Contains(err.Error(), "covey restore --data-dir "+dir) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(key); err != nil {
		t.Error(err)
	}
}
