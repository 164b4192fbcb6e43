package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(store.Config{Dir: t.TempDir(), NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return st
}

func TestRepositories(t *testing.T) {
	r := Repositories{Store: open(t)}
	const name = "covey.local/team/app"
	tag := agent.Manifest{MediaType: "m", Digest: "sha256:12", SizeBytes: 3}
	signature := agent.Manifest{MediaType: "m", Digest: "sha256:34", SizeBytes: 4, ArtifactType: "signature", Subject: "sha256:12", Annotations: map[string]string{"by": "me"}}
	want := map[string]agent.Manifest{"1.0": tag, "sha256.34": tag, "sha256:34": signature}
	change := func(edit func(map[string]agent.Manifest) error) error {
		return r.ChangeRepository(t.Context(), name, edit)
	}
	for id, m := range want {
		if err := change(func(have map[string]agent.Manifest) error { have[id] = m; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := r.Repository(t.Context(), name); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if names, err := r.RepositoryNames(t.Context()); err != nil || !slices.Equal(names, []string{name}) {
		t.Errorf("names: %v, %v", names, err)
	}
	refusal := errors.New("no")
	if err := change(func(map[string]agent.Manifest) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("the refusal came back as %v", err)
	}
	err := change(func(have map[string]agent.Manifest) error {
		for i := range 20_000 {
			have[fmt.Sprint(i)] = tag
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "delete some") {
		t.Errorf("too many: %v", err)
	}
	if err := change(func(have map[string]agent.Manifest) error { clear(have); return nil }); err != nil {
		t.Fatal(err)
	}
	if names, err := r.RepositoryNames(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("an empty one is left: %v, %v", names, err)
	}
}

// leaderless is a replica in a cluster that has no leader.
type leaderless struct{ *store.Store }

func (leaderless) Linearizable(ctx context.Context) (*store.Snapshot, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestWithoutALeader what is known here has to do: a node that waited for one would start no pods.
func TestWithoutALeader(t *testing.T) {
	st := open(t)
	const name = "covey.local/app"
	m := agent.Manifest{MediaType: "m", Digest: "sha256:12", SizeBytes: 3}
	err := Repositories{Store: st}.ChangeRepository(t.Context(), name, func(have map[string]agent.Manifest) error { have["1"] = m; return nil })
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := Repositories{Store: leaderless{st}}
		if got, err := r.Repository(t.Context(), name); err != nil || got["1"].Digest != m.Digest {
			t.Errorf("the repository: %v, %v", got, err)
		}
		if got, err := r.RepositoryNames(t.Context()); err != nil || !slices.Equal(got, []string{name}) {
			t.Errorf("the names: %v, %v", got, err)
		}
		if took := time.Since(began); took != 2*leaderWait {
			t.Errorf("two reads took %s", took)
		}
		began = time.Now()
		got, current, err := r.Look(t.Context(), []string{name, "covey.local/other", "covey.local/third"})
		if err != nil || current || got[name]["1"].Digest != m.Digest || len(got) != 3 {
			t.Errorf("a look: %v, current %t, %v", got, current, err)
		}
		if took := time.Since(began); took != leaderWait {
			t.Errorf("a look at three took %s", took)
		}
	})
	if _, current, err := (Repositories{Store: st}).Look(t.Context(), []string{name}); err != nil || !current {
		t.Errorf("with a leader: current %t, %v", current, err)
	}
}

func TestLogins(t *testing.T) {
	st := open(t)
	now := time.Now()
	login := func(user, expires string, kind corev1.SecretType) {
		sum := sha256.Sum256([]byte("secret"))
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: LoginPrefix + user, Namespace: metav1.NamespaceSystem}, Type: kind,
			Data: map[string][]byte{LoginPasswordSHA256: []byte(hex.EncodeToString(sum[:]))},
		}
		if expires != "" {
			secret.Data[LoginExpiration] = []byte(expires)
		}
		key := store.Key{Resource: "secrets", Namespace: secret.Namespace, Name: secret.Name}
		if _, err := st.Update(t.Context(), func(tx *store.Tx) error { tx.Create(key, secret); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	login("good", "", LoginType)
	login("soon", now.Add(time.Hour).Format(time.RFC3339), LoginType)
	login("late", now.Add(-time.Hour).Format(time.RFC3339), LoginType)
	login("odd", "some day", LoginType)
	login("other", "", corev1.SecretTypeOpaque)
	h := Handler(st, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func() time.Time { return now }, slog.New(slog.DiscardHandler))
	for _, test := range []struct {
		user, password string
		want           int
	}{
		{"good", "secret", 200}, {"soon", "secret", 200}, {"good", "guess", 401}, {"good", "", 401}, {"late", "secret", 401},
		{"odd", "secret", 401}, {"other", "secret", 401}, {"nobody", "secret", 401}, {"../good", "secret", 401}, {"", "", 401},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		if test.user != "" {
			r.SetBasicAuth(test.user, test.password)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != test.want || test.want == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s with %q: %d %v, want %d", test.user, test.password, w.Code, w.Header(), test.want)
		}
	}
}
