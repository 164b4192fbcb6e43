package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/patch"
	"covey.dev/covey/api/wire"
)

// patchRequest is a PATCH, read but not yet applied.
type patchRequest struct {
	typ  types.PatchType
	opts metav1.PatchOptions
	body []byte
}

// patchObject answers PATCH on an object or its status.
func patchObject(c *call) error {
	req, err := c.patchRequest()
	if err != nil {
		return err
	}
	if req.typ == types.ApplyYAMLPatchType {
		return apply(c, req)
	}
	out, err := c.modify(change{
		subresource: c.subresource,
		manager:     c.manager(req.opts.FieldManager),
		dryRun:      len(req.opts.DryRun) > 0,
		make: func(live kind.Object) (kind.Object, error) {
			obj := c.kind.New()
			err := c.patched(req, live, obj)
			obj.GetObjectKind().SetGroupVersionKind(c.kind.GVK)
			return obj, err
		},
	})
	if err != nil {
		return err
	}
	return c.respond(http.StatusOK, out)
}

func (c *call) patchRequest() (*patchRequest, error) {
	req := &patchRequest{typ: types.PatchType(wire.MediaType(c.r.Header.Get("Content-Type")))}
	switch req.typ {
	case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType:
	default:
		return nil, wire.Unsupported(string(types.JSONPatchType), string(types.MergePatchType),
			string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType))
	}
	query := c.r.URL.Query()
	if err := metav1.Convert_url_Values_To_v1_PatchOptions(&query, &req.opts, nil); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if err := invalidOptions("PatchOptions", metav1validation.ValidatePatchOptions(&req.opts, req.typ)); err != nil {
		return nil, err
	}
	var err error
	if req.body, err = wire.ReadBody(c.r); err == nil {
		recordOf(c.r).Patched(req.body)
	}
	return req, err
}

// patched applies a patch to live and reads the result into obj, which is of the same type.
func (c *call) patched(req *patchRequest, live, obj runtime.Object) error {
	document, err := json.Marshal(live)
	if err != nil {
		return fmt.Errorf("encode the live object: %w", err)
	}
	doc, duplicates, err := patch.Apply(req.typ, document, req.body, obj)
	if err != nil {
		return err
	}
	if len(doc) > wire.MaxBody {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", wire.MaxBody))
	}
	strict, err := kjson.UnmarshalStrict(doc, obj)
	if err != nil {
		return badPatch(err)
	}
	return c.judge(append(duplicates, strict...), req.opts.FieldValidation, badPatch)
}

// badPatch leaves out the whole patch, which Kubernetes quotes: the reason would drown in it.
func badPatch(err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), field.OmitValueType{}, err.Error()),
	})
}
