package api

import (
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// selection is which objects of a kind a list or watch is about.
type selection struct {
	kind      *kind.Kind
	namespace string // "" for all
	name      string // "" for all
	labels    labels.Selector
	fields    fields.Selector // what name and namespace don't say already
}

// listOptions are the parsed query of a list or a watch.
type listOptions struct {
	selection
	internalversion.ListOptions
}

func (c *call) listOptions() (*listOptions, error) {
	var v1 metav1.ListOptions
	query := c.r.URL.Query()
	if err := metav1.Convert_url_Values_To_v1_ListOptions(&query, &v1, nil); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	out := &listOptions{}
	if err := internalversion.Convert_v1_ListOptions_To_internalversion_ListOptions(&v1, &out.ListOptions, nil); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if err := invalidOptions("ListOptions", validation.ValidateListOptions(&out.ListOptions, true)); err != nil {
		return nil, err
	}
	var err error
	out.selection, err = selectionOf(c.kind, c.namespace, out.LabelSelector, out.FieldSelector)
	return out, err
}

func selectionOf(k *kind.Kind, namespace string, byLabel labels.Selector, byField fields.Selector) (selection, error) {
	s := selection{kind: k, namespace: namespace, labels: byLabel, fields: byField}
	if s.labels != nil && s.labels.Empty() {
		s.labels = nil
	}
	if s.fields == nil || s.fields.Empty() {
		s.fields = nil
		return s, nil
	}
	for _, requirement := range s.fields.Requirements() {
		if err := supported(k, requirement.Field); err != nil {
			return s, err
		}
	}
	if name, ok := s.fields.RequiresExactMatch("metadata.name"); ok {
		s.name = name
		if len(s.fields.Requirements()) == 1 {
			s.fields = nil
		}
	}
	return s, nil
}

// supported refuses a field selector that the kind does not have, in Kubernetes' words.
func supported(k *kind.Kind, name string) error {
	always := []string{"metadata.name"}
	if k.Namespaced {
		always = append(always, "metadata.namespace")
	}
	if slices.Contains(always, name) || slices.Contains(k.FieldNames, name) {
		return nil
	}
	if len(k.FieldNames) > len(always) {
		return apierrors.NewBadRequest("field label not supported: " + name)
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", name))
}

// covers reports whether the object of that key can be selected at all; it needs no decoding.
func (s *selection) covers(key store.Key) bool {
	return (s.namespace == "" || key.Namespace == s.namespace) && (s.name == "" || key.Name == s.name)
}

// selects reports whether a record is selected; a nil record is not.
func (s *selection) selects(rec *store.Record) bool {
	if rec == nil || !s.covers(rec.Key()) {
		return false
	}
	if s.labels == nil && s.fields == nil {
		return true
	}
	obj := s.kind.Read(rec.Object())
	if s.labels != nil && !s.labels.Matches(labels.Set(obj.GetLabels())) {
		return false
	}
	return s.fields == nil || s.fields.Matches(s.fieldsOf(obj))
}

func (s *selection) fieldsOf(obj kind.Object) fields.Set {
	if s.kind.Fields != nil {
		return s.kind.Fields(obj)
	}
	return fields.Set{"metadata.name": obj.GetName(), "metadata.namespace": obj.GetNamespace()}
}
