package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"covey.dev/covey/store"
)

// Protocol is its ALPN name. A change that an older node would not understand takes another number.
const Protocol = "covey-peer/1"

// The paths, and what a body may have at most.
const (
	proposePath  = "/store/entries"
	revisionPath = "/store/revision"
	pingPath     = "/ping"
	nodePrefix   = "/node"
	maxEntry     = 17 << 20
)

// Store is the leader's part of what another server's store does.
type Store interface {
	ServePropose(ctx context.Context, entry []byte) (revision uint64, err error)
	ServeReadRevision(ctx context.Context) (uint64, error)
}

// Handler answers other nodes; agent is what answers for this node's pods.
func Handler(st Store, agent http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+proposePath, func(w http.ResponseWriter, r *http.Request) {
		entry, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEntry))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		revision, err := st.ServePropose(r.Context(), entry)
		answer(w, revision, err)
	})
	mux.HandleFunc("GET "+revisionPath, func(w http.ResponseWriter, r *http.Request) {
		revision, err := st.ServeReadRevision(r.Context())
		answer(w, revision, err)
	})
	mux.HandleFunc("GET "+pingPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, 0, nil) })
	mux.Handle(nodePrefix+"/", http.StripPrefix(nodePrefix, agent))
	return mux
}

func answer(w http.ResponseWriter, revision uint64, err error) {
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	_, _ = io.WriteString(w, strconv.FormatUint(revision, 10))
}

// statusOf and errorOf carry the errors that a store acts on.
func statusOf(err error) int {
	switch {
	case errors.Is(err, store.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, store.ErrNotLeader):
		return http.StatusMisdirectedRequest
	}
	return http.StatusInternalServerError
}

func errorOf(status int, text string) error {
	text = strings.TrimSpace(text)
	var kind error
	switch status {
	case http.StatusConflict:
		kind = store.ErrConflict
	case http.StatusMisdirectedRequest:
		kind = store.ErrNotLeader
	default:
		return errors.New(text)
	}
	if detail, ok := strings.CutPrefix(text, kind.Error()+": "); ok {
		return fmt.Errorf("%w: %s", kind, detail)
	}
	return kind
}
