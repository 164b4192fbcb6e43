package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// Where an administrator gets a backup of the state, and sends one to restore, on any node.
const (
	BackupPath  = "/covey/backup"
	RestorePath = "/covey/restore"
)

func (n *node) backupHandler(w http.ResponseWriter, r *http.Request) {
	snap, err := n.store.Linearizable(r.Context())
	if err != nil {
		refuse(w, apierrors.NewServiceUnavailable(err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := snap.WriteBackup(w); err != nil {
		n.log.Warn("a backup was cut off", "error", err) // whoever reads it misses its end
	}
}

func (n *node) restoreHandler(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuse(w, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: "restore"}, r.Method))
		return
	}
	old, err := store.ReadBackup(r.Body, kind.Scheme())
	switch {
	case errors.Is(err, store.ErrBackup):
		refuse(w, apierrors.NewBadRequest("restore: "+err.Error()))
		return
	case err != nil:
		refuse(w, apierrors.NewInternalError(err))
		return
	}
	n.log.Info("a backup is restored", "revision", old.Revision(), "remote", r.RemoteAddr)
	done, err := n.store.Restore(r.Context(), old, keptByRestore, restoreOrder)
	if err != nil {
		refuse(w, apierrors.NewInternalError(fmt.Errorf("%w; restore it again to complete it", err)))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(done)
}
