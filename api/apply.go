package api

import (
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/managed"
	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

// apply answers a server-side apply: the object is created when it is not there.
func apply(c *call, req *patchRequest) error {
	applied, err := c.applied(req)
	if err != nil {
		return err
	}
	m, err := c.managers.For(c.kind, c.subresource)
	if err != nil {
		return err
	}
	force := req.opts.Force != nil && *req.opts.Force
	merge := func(live kind.Object) (kind.Object, error) {
		return m.Apply(live, applied.DeepCopy(), req.opts.FieldManager, force)
	}
	created := false
	out, err := c.commit(len(req.opts.DryRun) > 0, func(tx *store.Tx) (kind.Object, effect, error) {
		rec, found := tx.Get(c.key(c.name))
		created = !found
		if found {
			return c.replace(tx, rec, change{subresource: c.subresource, tracked: true, make: merge})
		}
		if uid := applied.GetUID(); uid != "" {
			return nil, unchanged, apierrors.NewConflict(c.groupResource(), c.name,
				inTheirWords("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
		}
		if c.subresource != "" {
			return nil, unchanged, apierrors.NewNotFound(c.groupResource(), c.name)
		}
		obj, err := merge(managed.Empty(c.kind))
		if err != nil {
			return nil, unchanged, err
		}
		return obj, changed, c.add(tx, obj, nil)
	})
	if err != nil {
		return err
	}
	code := http.StatusOK
	if created {
		code = http.StatusCreated
	}
	return c.respond(code, out)
}

// applied reads the configuration and makes its name and namespace those of the request.
func (c *call) applied(req *patchRequest) (*unstructured.Unstructured, error) {
	doc, duplicates, err := wire.ToJSON(req.body)
	if err != nil {
		return nil, err
	}
	recordOf(c.r).Patched(doc)
	if err := c.judge(duplicates, req.opts.FieldValidation, func(err error) error {
		return apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}); err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(doc, &u.Object); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	if u.Object == nil {
		return nil, apierrors.NewBadRequest("error decoding YAML: the configuration is empty, want an object with apiVersion and kind")
	}
	if u.GetName() == "" {
		if err := unstructured.SetNestedField(u.Object, c.name, "metadata", "name"); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	if u.GetName() != c.name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", u.GetName(), c.name))
	}
	if ns := u.GetNamespace(); ns != "" && ns != c.namespace {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)", ns, c.namespace))
	}
	if c.kind.Namespaced {
		u.SetNamespace(c.namespace)
	}
	return u, nil
}
