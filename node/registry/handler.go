package registry

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api"
	"covey.dev/covey/store"
)

// Prefix of the registry's paths, which clients expect at the root of the address that they are given.
const Prefix = "/v2/"

// What a login is kept as: a Secret of kube-system of this type. `covey registry login` makes it.
const (
	LoginPrefix         = "covey-registry-login-" // and the user's name
	LoginType           = corev1.SecretType("covey.dev/registry-login")
	LoginPasswordSHA256 = "password-sha256" // hex; passwords are drawn by chance, and long
	LoginExpiration     = "expiration"      // RFC 3339; none is never
)

// Handler serves users who may push and pull: administrators by their certificates, others by a login.
func Handler(st *store.Store, users http.Handler, now func() time.Time, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := user(st, r, now())
		log.Debug("a request for images", "method", r.Method, "path", r.URL.Path, "user", who, "allowed", ok)
		if !ok {
			w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
			w.Header().Set("WWW-Authenticate", `Basic realm="covey"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"log in with: covey registry login"}]}`)
			return
		}
		// An image takes longer than a stranger may.
		conn := http.NewResponseController(w)
		_, _ = conn.SetReadDeadline(time.Time{}), conn.SetWriteDeadline(time.Time{})
		users.ServeHTTP(w, r)
	})
}

// user says who asks, and whether they may.
func user(st *store.Store, r *http.Request, now time.Time) (name string, ok bool) {
	if u, known := api.ClientCertificate(r); known && slices.Contains(u.Groups, "system:masters") {
		return u.Name, true
	}
	name, password, given := r.BasicAuth()
	if !given || strings.ContainsAny(name, "/") {
		return name, false
	}
	secret, found := store.Get[*corev1.Secret](st.Snapshot(), store.Key{Resource: "secrets", Namespace: metav1.NamespaceSystem, Name: LoginPrefix + name})
	if !found || secret.Type != LoginType {
		return name, false
	}
	if text, limited := secret.Data[LoginExpiration]; limited {
		if until, err := time.Parse(time.RFC3339, string(text)); err != nil || !now.Before(until) {
			return name, false
		}
	}
	sum := sha256.Sum256([]byte(password))
	return name, subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), secret.Data[LoginPasswordSHA256]) == 1
}
