package api

import (
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// deleteCollection answers DELETE on a collection: all that match the selectors, or with a limit a
// page of them, in one transaction.
func deleteCollection(c *call) error {
	list, err := c.listOptions()
	if err != nil {
		return err
	}
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	if c.kind.Resource() == "namespaces" {
		return apierrors.NewMethodNotSupported(c.groupResource(), "deletecollection")
	}
	from, err := c.page(list) // checks the token, if there is one
	if err != nil {
		return err
	}
	var done []deletion
	var rest *remaining
	_, err = c.commit(len(opts.DryRun) > 0, func(tx *store.Tx) (kind.Object, effect, error) {
		done = done[:0]
		var recs []*store.Record
		recs, rest = list.collect(page{snapshot: tx.Snapshot(), after: from.after}, int(list.Limit))
		for _, rec := range recs {
			d, err := c.remove(tx, rec, opts)
			if err != nil {
				return nil, unchanged, err
			}
			done = append(done, d)
		}
		return nil, unchanged, nil
	})
	if err != nil {
		return err
	}
	objs := make([]kind.Object, len(done))
	for i, d := range done {
		objs[i] = c.kind.Read(d.obj)
	}
	revision := c.cfg.Store.Snapshot().Revision()
	answer := listMeta(fmt.Sprint(revision))
	if rest != nil && len(objs) > 0 {
		answer.Continue = token{Revision: revision, After: c.keyOf(objs[len(objs)-1])}.encode()
		answer.RemainingItemCount = rest.count
	}
	return c.respondList(http.StatusOK, objs, answer)
}
