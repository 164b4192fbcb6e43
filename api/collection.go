package api

import (
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// deleteCollection answers DELETE on a collection: all that match the selectors, in one transaction.
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
	var done []deletion
	_, err = c.commit(len(opts.DryRun) > 0, func(tx *store.Tx) (kind.Object, effect, error) {
		done = done[:0]
		for rec := range tx.Snapshot().List(c.kind.Resource(), c.namespace) {
			if !list.selects(rec) {
				continue
			}
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
		objs[i] = d.obj
	}
	return c.respondList(http.StatusOK, objs, listMeta(fmt.Sprint(c.cfg.Store.Snapshot().Revision())))
}
