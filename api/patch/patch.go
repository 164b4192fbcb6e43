package patch

import (
	"errors"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
)

// maxOperations bounds a JSON patch, whose copy operations could otherwise grow a document without end.
const maxOperations = 10_000

func init() {
	// The library takes this bound (bytes that copy operations may add) only for the whole process.
	jsonpatch.AccumulatedCopySizeLimit = 3 << 20
}

// Types are the patch types that Apply knows, as media types.
var Types = []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType}

// Apply applies body to document. model is a pointer to the document's type, which says how strategic merge merges lists.
// strict are the keys that a merge patch gives twice.
func Apply(typ types.PatchType, document, body []byte, model any) (patched []byte, strict []error, err error) {
	switch typ {
	case types.JSONPatchType:
		patched, err = applyJSON(document, body)
		return patched, nil, err
	case types.MergePatchType:
		if strict, err = check(body); err != nil {
			return nil, nil, err
		}
		patched, err = jsonpatch.MergePatch(document, body)
	case types.StrategicMergePatchType:
		if strict, err = check(body); err != nil {
			return nil, nil, err
		}
		patched, err = strategicpatch.StrategicMergePatch(document, body, model)
	default:
		return nil, nil, fmt.Errorf("patch type %q is not known", typ)
	}
	return patched, strict, asStatus(err)
}

// check reports a body that is no JSON object, and the keys that it has twice.
func check(body []byte) ([]error, error) {
	var object map[string]any
	strict, err := kjson.UnmarshalStrict(body, &object)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	return strict, nil
}

func applyJSON(document, body []byte) (patched []byte, err error) {
	operations, err := jsonpatch.DecodePatch(body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if len(operations) > maxOperations {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the allowed maximum operations in a JSON patch is %d, got %d", maxOperations, len(operations)))
	}
	defer func() { // a test of the whole document without a value, for one, makes the library panic
		if cause := recover(); cause != nil {
			patched, err = nil, unprocessable(fmt.Errorf("it cannot be applied: %v", cause))
		}
	}()
	if patched, err = operations.Apply(document); err != nil {
		return nil, unprocessable(err)
	}
	return patched, nil
}

// unprocessable is a patch that is well-formed but does not fit the document.
func unprocessable(err error) error {
	status := apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", "", 0, false)
	status.ErrStatus.Message += ": " + err.Error()
	return status
}

// asStatus words the errors of a merge as Kubernetes does.
func asStatus(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys), errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return apierrors.NewBadRequest(err.Error())
	}
	return unprocessable(err)
}
