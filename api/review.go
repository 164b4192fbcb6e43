package api

import (
	"net/http"

	"github.com/gorilla/mux"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"covey.dev/covey/api/kind"
)

// review is a kind that is only ever posted: a question about the one who asks. Nothing is stored.
type review struct {
	gvk    schema.GroupVersionKind
	plural string
	new    func() runtime.Object
	answer func(obj runtime.Object, user User)
	check  func(obj runtime.Object) error // of what is asked; may be nil
}

// reviews are answered for those who were let in, and they may do all.
var reviews = []review{
	{
		authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), "selfsubjectaccessreviews",
		func() runtime.Object { return &authorizationv1.SelfSubjectAccessReview{} },
		func(obj runtime.Object, _ User) {
			obj.(*authorizationv1.SelfSubjectAccessReview).Status = authorizationv1.SubjectAccessReviewStatus{Allowed: true}
		},
		checkAccessReview,
	},
	{
		authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectRulesReview"), "selfsubjectrulesreviews",
		func() runtime.Object { return &authorizationv1.SelfSubjectRulesReview{} },
		func(obj runtime.Object, _ User) {
			all := []string{"*"}
			obj.(*authorizationv1.SelfSubjectRulesReview).Status = authorizationv1.SubjectRulesReviewStatus{
				ResourceRules:    []authorizationv1.ResourceRule{{Verbs: all, APIGroups: all, Resources: all}},
				NonResourceRules: []authorizationv1.NonResourceRule{{Verbs: all, NonResourceURLs: all}},
			}
		},
		func(obj runtime.Object) error {
			if obj.(*authorizationv1.SelfSubjectRulesReview).Spec.Namespace == "" {
				return apierrors.NewBadRequest("no namespace on request")
			}
			return nil
		},
	},
	{
		authenticationv1.SchemeGroupVersion.WithKind("SelfSubjectReview"), "selfsubjectreviews",
		func() runtime.Object { return &authenticationv1.SelfSubjectReview{} },
		func(obj runtime.Object, user User) {
			obj.(*authenticationv1.SelfSubjectReview).Status.UserInfo = authenticationv1.UserInfo{Username: user.Name, Groups: user.Groups}
		},
		nil,
	},
}

// checkAccessReview refuses a question about nothing, or about two things.
func checkAccessReview(obj runtime.Object) error {
	spec := &obj.(*authorizationv1.SelfSubjectAccessReview).Spec
	path := field.NewPath("spec")
	var err *field.Error
	switch {
	case spec.ResourceAttributes != nil && spec.NonResourceAttributes != nil:
		err = field.Invalid(path.Child("nonResourceAttributes"), spec.NonResourceAttributes, "cannot be specified in combination with resourceAttributes")
	case spec.ResourceAttributes == nil && spec.NonResourceAttributes == nil:
		err = field.Invalid(path.Child("resourceAttributes"), spec.NonResourceAttributes, "exactly one of nonResourceAttributes or resourceAttributes must be specified")
	default:
		return nil
	}
	return apierrors.NewInvalid(authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview").GroupKind(), "", field.ErrorList{err})
}

// reviewRoutes serves the reviews of one group and version.
func (s *Server) reviewRoutes(sub *mux.Router, gv groupVersion) {
	for _, rv := range gv.reviews {
		k := &kind.Kind{GVK: rv.gvk, Plural: rv.plural}
		s.route(sub, "/"+rv.plural, k, "", verbs{http.MethodPost: func(c *call) error { return c.review(rv) }})
	}
}

func (c *call) review(rv review) error {
	obj := rv.new()
	if err := c.decode(rv.gvk, obj, c.r.URL.Query().Get("fieldValidation")); err != nil {
		return err
	}
	if rv.check != nil {
		if err := rv.check(obj); err != nil {
			return err
		}
	}
	rv.answer(obj, userFrom(c.ctx()))
	if m, ok := obj.(metav1.Object); ok {
		m.SetCreationTimestamp(metav1.NewTime(c.now))
		m.SetManagedFields(nil)
	}
	return c.respondOther(http.StatusCreated, obj)
}
