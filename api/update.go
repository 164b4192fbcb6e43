package api

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"

	"covey.dev/covey/api/kind"
)

// update answers PUT on an object or its status.
func update(c *call) error {
	opts, err := c.updateOptions()
	if err != nil {
		return err
	}
	sent, err := c.decodeObject(opts.FieldValidation)
	if err != nil {
		return err
	}
	out, err := c.modify(change{
		subresource: c.subresource,
		manager:     c.manager(opts.FieldManager),
		dryRun:      len(opts.DryRun) > 0,
		make:        func(kind.Object) (kind.Object, error) { return sent.DeepCopyObject().(kind.Object), nil },
	})
	if err != nil {
		return err
	}
	return c.respond(http.StatusOK, out)
}

func (c *call) updateOptions() (metav1.UpdateOptions, error) {
	var opts metav1.UpdateOptions
	query := c.r.URL.Query()
	if err := metav1.Convert_url_Values_To_v1_UpdateOptions(&query, &opts, nil); err != nil {
		return opts, apierrors.NewBadRequest(err.Error())
	}
	return opts, invalidOptions("UpdateOptions", metav1validation.ValidateUpdateOptions(&opts))
}

// finalize answers PUT on a namespace's finalize subresource, which changes spec.finalizers and nothing else. The
// namespace goes when the last is gone and it was deleted.
func finalize(c *call) error {
	opts, err := c.updateOptions()
	if err != nil {
		return err
	}
	sent, err := c.decodeObject(opts.FieldValidation)
	if err != nil {
		return err
	}
	wanted, ok := sent.(*corev1.Namespace)
	if !ok {
		return apierrors.NewMethodNotSupported(c.groupResource(), "finalize")
	}
	out, err := c.modify(change{
		subresource: c.subresource,
		manager:     c.manager(opts.FieldManager),
		dryRun:      len(opts.DryRun) > 0,
		make: func(live kind.Object) (kind.Object, error) {
			if err := c.sameObject(wanted.DeepCopy(), live); err != nil {
				return nil, err
			}
			ns := live.DeepCopyObject().(*corev1.Namespace)
			ns.Spec.Finalizers = wanted.Spec.Finalizers
			return ns, nil
		},
	})
	if err != nil {
		return err
	}
	return c.respond(http.StatusOK, out)
}
