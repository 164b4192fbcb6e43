package managed

import (
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"covey.dev/covey/api/kind"
)

// Managers makes the field manager of each kind and subresource when it is first needed.
type Managers struct {
	// Converter knows the schemas of all kinds; it is asked for at the first write.
	Converter func() (managedfields.TypeConverter, error)

	mu    sync.Mutex
	cache map[key]*Manager
}

type key struct {
	kind        *kind.Kind
	subresource string
}

// For is the manager of a kind's main resource (subresource "") or of "status" or "scale".
func (m *Managers) For(k *kind.Kind, subresource string) (*Manager, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := key{k, subresource}
	if found := m.cache[at]; found != nil {
		return found, nil
	}
	converter, err := m.Converter()
	if err != nil {
		return nil, fmt.Errorf("read the schemas: %w", err)
	}
	made, err := newManager(k, subresource, converter)
	if err != nil {
		return nil, err
	}
	if m.cache == nil {
		m.cache = map[key]*Manager{}
	}
	m.cache[at] = made
	return made, nil
}

func newManager(k *kind.Kind, subresource string, converter managedfields.TypeConverter) (*Manager, error) {
	types := adapter{k}
	gv := k.GVK.GroupVersion()
	left := leftAlone(k, subresource)
	reset := resetFields(k, left)
	fm, err := managedfields.NewDefaultFieldManager(converter, types, types, types, k.GVK, gv, subresource, reset)
	if err != nil {
		return nil, err
	}
	empty, err := converter.ObjectToTyped(Empty(k))
	if err != nil {
		return nil, err
	}
	version := gv.String()
	track := &tracker{version: version, subresource: subresource, left: left, reset: reset[fieldpath.APIVersion(version)], empty: empty}
	return &Manager{kind: k, fields: fm, tracker: track}, nil
}

// leftAlone is the part of an object that a write to this resource does not touch, so nobody comes to own it by that; "" for none.
func leftAlone(k *kind.Kind, subresource string) string {
	switch {
	case subresource == "status":
		return "spec"
	case subresource == "" && k.HasStatus:
		return "status"
	}
	return ""
}

func resetFields(k *kind.Kind, left string) map[fieldpath.APIVersion]fieldpath.Filter {
	if left == "" {
		return nil
	}
	set := fieldpath.NewSet(fieldpath.MakePathOrDie(left))
	version := fieldpath.APIVersion(k.GVK.GroupVersion().String())
	return map[fieldpath.APIVersion]fieldpath.Filter{version: fieldpath.NewExcludeSetFilter(set)}
}

// Manager tracks the fields of one kind.
type Manager struct {
	kind    *kind.Kind
	fields  *managedfields.FieldManager
	tracker *tracker
}

// Update records in wanted what manager changed since live; live is an empty object for a creation. It never fails: at
// worst the record stays as it was.
func (m *Manager) Update(live, wanted kind.Object, manager string) {
	if entries, ok := m.tracker.update(live, wanted, manager); ok {
		wanted.SetManagedFields(entries)
		return
	}
	if out, ok := m.fields.UpdateNoErrors(live, wanted, manager).(kind.Object); ok {
		wanted.SetManagedFields(out.GetManagedFields())
	}
}

// Apply merges the applied configuration into live. Conflicts with other managers are a 409 unless force is set.
func (m *Manager) Apply(live kind.Object, applied *unstructured.Unstructured, manager string, force bool) (kind.Object, error) {
	out, err := m.fields.Apply(live.DeepCopyObject(), applied, manager, force)
	if err != nil {
		if status := apierrors.APIStatus(nil); errors.As(err, &status) {
			return nil, err
		}
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj, ok := out.(kind.Object)
	if !ok {
		return nil, fmt.Errorf("apply gave a %T", out)
	}
	obj.GetObjectKind().SetGroupVersionKind(m.kind.GVK)
	return obj, nil
}

// adapter shows a kind as the converter, defaulter and constructor that managedfields asks for. There is one version of each
// kind, so converting is no more than leaving the unstructured form.
type adapter struct{ kind *kind.Kind }

func (a adapter) Convert(_, _, _ any) error { return errors.New("not supported") }

func (a adapter) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

func (a adapter) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	obj := a.kind.New()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v",
			a.kind.GVK.Kind, a.kind.GVK.Version, a.kind.GVK.Kind, err))
	}
	obj.GetObjectKind().SetGroupVersionKind(a.kind.GVK)
	return obj, nil
}

func (a adapter) Default(in runtime.Object) {
	if obj, ok := in.(kind.Object); ok && a.kind.Default != nil {
		a.kind.Default(obj)
	}
}

func (a adapter) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if gvk != a.kind.GVK {
		return nil, fmt.Errorf("kind %s is not %s", gvk, a.kind.GVK)
	}
	return Empty(a.kind), nil
}

// Empty is an object of the kind with nothing but its TypeMeta, for Update on creation.
func Empty(k *kind.Kind) kind.Object {
	obj := k.New()
	obj.GetObjectKind().SetGroupVersionKind(k.GVK)
	return obj
}
