package api

import (
	"net/http"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/patch"
	"covey.dev/covey/api/wire"
)

var scaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

func (c *call) scaleOf(obj kind.Object) *autoscalingv1.Scale {
	scale := c.kind.Scale.Get(obj)
	scale.SetGroupVersionKind(scaleKind)
	scale.ResourceVersion = obj.GetResourceVersion()
	return scale
}

// getScale answers GET on the scale subresource.
func getScale(c *call) error {
	obj, err := c.find(c.r.URL.Query().Get("resourceVersion"))
	if err != nil {
		return err
	}
	return c.respondOther(http.StatusOK, c.scaleOf(obj))
}

// updateScale answers PUT.
func updateScale(c *call) error {
	opts, err := c.updateOptions()
	if err != nil {
		return err
	}
	sent := &autoscalingv1.Scale{}
	if err := c.decode(scaleKind, sent, opts.FieldValidation); err != nil {
		return err
	}
	return c.setScale(opts.FieldManager, len(opts.DryRun) > 0, func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error) { return sent, nil })
}

// patchScale answers PATCH. Server-side apply is refused: it would own a number that the parent's appliers own.
func patchScale(c *call) error {
	req, err := c.patchRequest()
	if err != nil {
		return err
	}
	if req.typ == types.ApplyYAMLPatchType {
		accepted := make([]string, len(patch.Types))
		for i, typ := range patch.Types {
			accepted[i] = string(typ)
		}
		return wire.Unsupported(accepted...)
	}
	return c.setScale(req.opts.FieldManager, len(req.opts.DryRun) > 0, func(live *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		wanted := &autoscalingv1.Scale{}
		return wanted, c.patched(req, live, wanted)
	})
}

// setScale changes the number of replicas of the call's object to that of the wanted Scale.
func (c *call) setScale(manager string, dryRun bool, wanted func(live *autoscalingv1.Scale) (*autoscalingv1.Scale, error)) error {
	out, err := c.modify(change{
		subresource: c.subresource,
		manager:     c.manager(manager),
		dryRun:      dryRun,
		make: func(live kind.Object) (kind.Object, error) {
			scale, err := wanted(c.scaleOf(live))
			if err != nil {
				return nil, err
			}
			if scale.Spec.Replicas < 0 {
				return nil, apierrors.NewInvalid(scaleKind.GroupKind(), c.name, field.ErrorList{
					field.Invalid(field.NewPath("spec", "replicas"), scale.Spec.Replicas, "must be greater than or equal to 0"),
				})
			}
			obj := live.DeepCopyObject().(kind.Object)
			obj.SetResourceVersion(scale.ResourceVersion)
			obj.SetUID(scale.UID)
			c.kind.Scale.Set(obj, scale.Spec.Replicas)
			return obj, nil
		},
	})
	if err != nil {
		return err
	}
	return c.respondOther(http.StatusOK, c.scaleOf(out))
}
