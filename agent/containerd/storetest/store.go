// Package storetest is containerd's store of images in a directory of a test, without containerd around it and without root.
package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
)

// Store is containerd's content, images and leases.
type Store struct {
	DB      *metadata.DB
	Content content.Store
	Images  images.Store
	Leases  leases.Manager
}

// New makes a store that is empty.
func New(t testing.TB) *Store {
	t.Helper()
	dir := t.TempDir()
	files, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := bbolt.Open(filepath.Join(dir, "meta.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	db := metadata.NewDB(file, files, nil)
	if err := db.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &Store{DB: db, Content: db.ContentStore(), Images: metadata.NewImageStore(db), Leases: metadata.NewLeaseManager(db)}
}

// In gives a context containerd's namespace.
func (s *Store) In(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, "test")
}

// InPushed gives a context the namespace of what is pushed.
func (s *Store) InPushed(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, "test-pushed")
}

// Load keeps the image of an OCI archive under a name, and gives what it stands for.
func (s *Store) Load(t testing.TB, name string, from []byte, labels map[string]string) ocispec.Descriptor {
	t.Helper()
	ctx := s.In(t.Context())
	desc, err := archive.ImportIndex(ctx, s.Content, bytes.NewReader(from))
	if err != nil {
		t.Fatal(err)
	}
	blob, err := content.ReadBlob(ctx, s.Content, desc)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(blob, &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("the archive has %d images (%v), want one", len(index.Manifests), err)
	}
	target := index.Manifests[0]
	handler := images.SetChildrenMappedLabels(s.Content, images.ChildrenHandler(s.Content), images.ChildGCLabels)
	if err := images.Walk(ctx, handler, target); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Images.Create(ctx, images.Image{Name: name, Target: target, Labels: labels}); err != nil {
		t.Fatal(err)
	}
	return target
}

// Layers are the layers of an image.
func (s *Store) Layers(t testing.TB, target ocispec.Descriptor) []ocispec.Descriptor {
	t.Helper()
	blob, err := content.ReadBlob(s.In(t.Context()), s.Content, target)
	if err != nil {
		t.Fatal(err)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(blob, &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest.Layers
}

// Collect removes what no image and no lease holds.
func (s *Store) Collect(t testing.TB) {
	t.Helper()
	if _, err := s.DB.GarbageCollect(s.In(t.Context())); err != nil {
		t.Fatal(err)
	}
}
