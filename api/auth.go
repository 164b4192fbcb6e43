package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	groupMasters       = "system:masters"
	groupServers       = "covey:servers" // nodes that hold the state
	groupAuthenticated = "system:authenticated"
)

// User is who sent a request.
type User struct {
	Name   string
	Groups []string
}

// ClientCertificate takes the user from the verified client certificate: its common name, and its organisations as groups.
func ClientCertificate(r *http.Request) (User, bool) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return User{}, false
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	if subject.CommonName == "" {
		return User{}, false
	}
	groups := append(slices.Clone(subject.Organization), groupAuthenticated)
	return User{Name: subject.CommonName, Groups: groups}, true
}

// publicPaths are open to everyone: what a load balancer or a person looks at first.
var publicPaths = []string{"/version", "/livez", "/readyz", "/healthz"}

func isPublic(path string) bool {
	return slices.ContainsFunc(publicPaths, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// admit lets administrators and servers do all, and nobody else anything: workers ask servers what concerns them by other ways.
// There are no roles yet.
func admit(user User, known bool, r *http.Request) error {
	if isPublic(r.URL.Path) {
		return nil
	}
	if !known {
		return apierrors.NewUnauthorized("Unauthorized")
	}
	if slices.Contains(user.Groups, groupMasters) || slices.Contains(user.Groups, groupServers) {
		return nil
	}
	return apierrors.NewForbidden(schema.GroupResource{}, "", inTheirWords("User %q cannot %s path %q",
		user.Name, strings.ToLower(r.Method), r.URL.Path))
}

type userKey struct{}

func withUser(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

func userFrom(ctx context.Context) User {
	u, _ := ctx.Value(userKey{}).(User)
	return u
}
