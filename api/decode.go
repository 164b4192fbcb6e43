package api

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/wire"
)

// decode reads the body into obj, and deals with unknown and duplicate fields as the client asked for.
func (c *call) decode(gvk schema.GroupVersionKind, obj runtime.Object, fieldValidation string) error {
	body, err := wire.ReadBody(c.r)
	if err != nil {
		return err
	}
	strict, err := wire.Decode(body, wire.MediaType(c.r.Header.Get("Content-Type")), gvk, obj)
	if err != nil {
		return err
	}
	recordOf(c.r).Requested(obj)
	return c.judge(strict, fieldValidation, func(err error) error {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", gvk.Kind, gvk.Version, gvk.Kind, err))
	})
}

// judge ignores, warns of or refuses (in refuse's words) the fields that a body has too many.
func (c *call) judge(strict []error, fieldValidation string, refuse func(error) error) error {
	if len(strict) == 0 {
		return nil
	}
	switch fieldValidation {
	case metav1.FieldValidationIgnore:
	case metav1.FieldValidationStrict:
		return refuse(wire.Strict(strict))
	default:
		for _, err := range strict {
			c.warn(err.Error())
		}
	}
	return nil
}

// decodeObject reads the body as an object of the call's kind in the call's namespace.
func (c *call) decodeObject(fieldValidation string) (kind.Object, error) {
	obj := c.kind.New()
	if err := c.decode(c.kind.GVK, obj, fieldValidation); err != nil {
		return nil, err
	}
	return obj, nil
}

// invalidOptions is the answer to query parameters that don't hold.
func invalidOptions(kindName string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metaGroup, Kind: kindName}, "", errs)
}
