package api

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// effect says what a change did to its object.
type effect int

const (
	unchanged effect = iota // what is answered is the stored object itself
	changed                 // what is answered is new, and gets the revision of the write
)

var errDryRun = errors.New("dry run")

// commit runs change in a transaction, again when something it read was changed meanwhile, and returns the object as it
// is stored then. A dry run does the same but for the writing.
func (c *call) commit(dryRun bool, change func(*store.Tx) (kind.Object, effect, error)) (kind.Object, error) {
	if err := c.acceptable(); err != nil {
		return nil, err // before anything is written, not after
	}
	var out kind.Object
	var did effect
	given := len(c.warnings)
	revision, err := c.cfg.Store.Update(c.ctx(), func(tx *store.Tx) (err error) {
		c.warnings = c.warnings[:given] // a further run says them again
		if out, did, err = change(tx); err == nil && dryRun {
			return errDryRun
		}
		return err
	})
	if dryRun && errors.Is(err, errDryRun) {
		return out, nil
	}
	if err != nil {
		return nil, c.commitError(err)
	}
	if did == changed {
		out.SetResourceVersion(fmt.Sprint(revision))
	}
	return out, nil
}

func (c *call) commitError(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return c.conflict()
	}
	return err
}

func (c *call) conflict() error {
	return apierrors.NewConflict(c.groupResource(), c.name,
		errors.New("the object has been modified; please apply your changes to the latest version and try again"))
}
