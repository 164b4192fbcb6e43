package store

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

func mirrored(name string) (Key, *corev1.ConfigMap) {
	return Key{Resource: "configmaps", Namespace: "default", Name: name},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// openMirror runs a mirror until close.
func openMirror(t *testing.T, path string) (m *Mirror, closeIt func()) {
	t.Helper()
	m, err := OpenMirror(path, scheme.Scheme, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return m, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("close the mirror: %v", err)
		}
	}
}

func (m *Mirror) names() []string {
	var names []string
	for r := range m.Snapshot().List("configmaps", "") {
		names = append(names, r.Object().GetName())
	}
	return names
}

// change makes an object as a server would tell it.
func change(t *testing.T, name string, revision uint64) Change {
	t.Helper()
	key, obj := mirrored(name)
	raw, err := newCodec(scheme.Scheme).encode(obj)
	if err != nil {
		t.Fatal(err)
	}
	return Change{Key: key, Revision: revision, Data: raw}
}

func TestMirrorRemembersWhatItWasTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint", "state.db")
	m, closeIt := openMirror(t, path)
	m.Replace(10, []Change{change(t, "a", 3), change(t, "b", 9)})
	watch, err := m.Watch(m.Snapshot().Revision(), "configmaps")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := mirrored("a")
	m.Apply(12, []Change{change(t, "c", 12), {Key: a}, change(t, "b", 9)})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	events, err := watch.Next(ctx)
	if err != nil || len(events) != 2 || events[0].Cur == nil || events[1].Cur != nil || events[1].Prev == nil {
		t.Errorf("events %v %v, want c made and a deleted", events, err)
	}
	closeIt()

	m, closeIt = openMirror(t, path)
	defer closeIt()
	if got := m.names(); !slices.Equal(got, []string{"b", "c"}) || m.Snapshot().Revision() != 12 {
		t.Errorf("after a restart %v at %d", got, m.Snapshot().Revision())
	}
	rec, ok := m.Snapshot().Get(Key{Resource: "configmaps", Namespace: "default", Name: "b"})
	if !ok || rec.Object().GetResourceVersion() != "9" {
		t.Errorf("the object's revision is not the cluster's: %v", rec)
	}
}

func TestMirrorOfAClusterMadeAnew(t *testing.T) {
	m, closeIt := openMirror(t, filepath.Join(t.TempDir(), "state.db"))
	defer closeIt()
	m.Replace(100, []Change{change(t, "old", 90)})
	watch, err := m.Watch(100)
	if err != nil {
		t.Fatal(err)
	}
	m.Replace(5, []Change{change(t, "new", 4)})
	if got := m.names(); !slices.Equal(got, []string{"new"}) || m.Snapshot().Revision() != 5 {
		t.Errorf("%v at %d", got, m.Snapshot().Revision())
	}
	if _, err := watch.Next(context.Background()); !errors.Is(err, ErrExpired) {
		t.Errorf("a watch goes on: %v", err)
	}
}
