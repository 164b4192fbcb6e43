package api

import (
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/managed"
	"covey.dev/covey/store"
)

// create answers POST on a collection.
func create(c *call) error {
	opts, err := c.createOptions()
	if err != nil {
		return err
	}
	sent, err := c.decodeObject(opts.FieldValidation)
	if err != nil {
		return err
	}
	out, err := c.commit(len(opts.DryRun) > 0, func(tx *store.Tx) (kind.Object, effect, error) {
		obj := sent.DeepCopyObject().(kind.Object)
		err := c.add(tx, obj, func(k *managed.Manager) { k.Update(managed.Empty(c.kind), obj, c.manager(opts.FieldManager)) })
		return obj, changed, err
	})
	if err != nil {
		return err
	}
	return c.respond(http.StatusCreated, out)
}

func (c *call) createOptions() (metav1.CreateOptions, error) {
	var opts metav1.CreateOptions
	query := c.r.URL.Query()
	if err := metav1.Convert_url_Values_To_v1_CreateOptions(&query, &opts, nil); err != nil {
		return opts, apierrors.NewBadRequest(err.Error())
	}
	return opts, invalidOptions("CreateOptions", metav1validation.ValidateCreateOptions(&opts))
}

// add makes obj ready to be stored as a new object, and puts it into tx. track records the owners of its fields; nil
// when that is done.
func (c *call) add(tx *store.Tx, obj kind.Object, track func(*managed.Manager)) error {
	if err := c.settleName(tx, obj); err != nil {
		return err
	}
	if obj.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if err := c.checkNamespace(tx, obj); err != nil {
		return err
	}
	if err := c.kind.CanWrite(obj); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if c.kind.Default != nil {
		c.kind.Default(obj)
	}
	if track != nil {
		m, err := c.managers.For(c.kind, "")
		if err != nil {
			return err
		}
		track(m)
	}
	c.prepareNew(obj)
	if err := c.admitObject(tx, obj, nil); err != nil {
		return err
	}
	if err := c.reserve(tx, obj, nil); err != nil {
		return err
	}
	if c.kind.Validate != nil {
		if errs := c.kind.Validate(obj); len(errs) > 0 {
			return apierrors.NewInvalid(c.kind.GVK.GroupKind(), obj.GetName(), errs)
		}
	}
	c.kindWarnings(obj, nil)
	key := c.key(obj.GetName())
	if _, exists := tx.Get(key); exists {
		return apierrors.NewAlreadyExists(c.groupResource(), obj.GetName())
	}
	tx.Create(key, c.kind.Write(obj))
	return nil
}

// prepareNew sets what only the server says of a new object.
func (c *call) prepareNew(obj kind.Object) {
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
	if c.kind.PrepareCreate != nil {
		c.kind.PrepareCreate(obj, c.now)
	}
	obj.SetUID(uuid.NewUUID())
	obj.SetCreationTimestamp(metav1.NewTime(c.now).Rfc3339Copy())
}

func (c *call) kindWarnings(obj, old kind.Object) {
	if c.kind.Warnings != nil {
		c.warnings = append(c.warnings, c.kind.Warnings(c.ctx(), obj, old)...)
	}
}

const (
	// A generated name is the prefix, cut to leave room for the suffix, and five random characters.
	generatedSuffix = 5
	maxGenerated    = 63
	generateTries   = 8
)

// settleName makes the object's name and namespace those of the request, or generates a name.
func (c *call) settleName(tx *store.Tx, obj kind.Object) error {
	if err := c.matchNamespace(obj); err != nil {
		return err
	}
	if obj.GetName() != "" || obj.GetGenerateName() == "" {
		return nil
	}
	prefix := obj.GetGenerateName()
	prefix = prefix[:min(len(prefix), maxGenerated-generatedSuffix)]
	for range generateTries {
		obj.SetName(prefix + rand.String(generatedSuffix))
		if _, taken := tx.Get(c.key(obj.GetName())); !taken {
			return nil
		}
	}
	return apierrors.NewGenerateNameConflict(c.groupResource(), obj.GetName(), retrySeconds)
}

func (c *call) matchNamespace(obj kind.Object) error {
	switch obj.GetNamespace() {
	case c.namespace:
	case "":
		obj.SetNamespace(c.namespace)
	default:
		if c.kind.Namespaced {
			return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
		}
		obj.SetNamespace("")
	}
	return nil
}

// checkNamespace refuses new objects in a namespace that is not there or going away.
func (c *call) checkNamespace(tx *store.Tx, obj kind.Object) error {
	if !c.kind.Namespaced {
		return nil
	}
	ns, ok := store.Get[*corev1.Namespace](tx.Snapshot(), store.Key{Resource: "namespaces", Name: c.namespace})
	if !ok {
		return apierrors.NewNotFound(corev1.Resource("namespaces"), c.namespace)
	}
	if ns.DeletionTimestamp == nil && ns.Status.Phase != corev1.NamespaceTerminating {
		return nil
	}
	err := apierrors.NewForbidden(c.groupResource(), obj.GetName(),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", c.namespace))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: fmt.Sprintf("namespace %s is being terminated", c.namespace),
		Field:   "metadata.namespace",
	})
	return err
}
