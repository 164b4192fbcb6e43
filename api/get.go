package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// get answers GET on one object, and on its status.
func get(c *call) error {
	rec, err := c.record(c.r.URL.Query().Get("resourceVersion"))
	if err != nil {
		return err
	}
	return c.respondRecord(http.StatusOK, rec)
}

// find reads the call's object, not older than the revision given.
func (c *call) find(notOlderThan string) (kind.Object, error) {
	rec, err := c.record(notOlderThan)
	if err != nil {
		return nil, err
	}
	return c.kind.Read(rec.Object()), nil
}

// record is find without decoding.
func (c *call) record(notOlderThan string) (*store.Record, error) {
	snap, err := c.snapshot(notOlderThan)
	if err != nil {
		return nil, err
	}
	rec, ok := snap.Get(c.key(c.name))
	if !ok {
		return nil, apierrors.NewNotFound(c.groupResource(), c.name)
	}
	return rec, nil
}

// snapshot is the state to read: "" stands for one with every acknowledged write, "0" for any, and a revision for one
// that is not older.
func (c *call) snapshot(notOlderThan string) (*store.Snapshot, error) {
	wanted, err := parseRevision(notOlderThan)
	if err != nil {
		return nil, err
	}
	local := c.cfg.Store.Snapshot()
	if notOlderThan != "" && wanted <= local.Revision() && !c.cfg.Partial {
		return local, nil
	}
	current, err := c.current()
	if err != nil {
		return nil, err
	}
	if wanted > current.Revision() {
		return nil, tooLarge()
	}
	return current, nil
}

// reach has this replica come to a revision that a client was given by another one, which may be ahead.
func (c *call) reach(revision uint64) error {
	if revision <= c.cfg.Store.Snapshot().Revision() {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx(), requestTimeout)
	defer cancel()
	_, err := c.cfg.Store.Linearizable(ctx)
	return err
}

func parseRevision(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	revision, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", s, err))
	}
	return revision, nil
}
