package runtimetest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// FakeImage is an image of a Fake.
type FakeImage struct {
	agent.Image
	Entrypoint, Cmd, Env []string
}

// AddImage makes an image present.
func (f *Fake) AddImage(image FakeImage) {
	if image.Digest == "" {
		image.Digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(image.Ref)))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.images[image.Ref] = image
}

// findImage finds by name or digest. f.mu is held.
func (f *Fake) findImage(ref string) (FakeImage, bool) {
	if image, ok := f.images[ref]; ok {
		return image, true
	}
	for _, image := range f.images {
		if image.Digest == ref {
			return image, true
		}
	}
	return FakeImage{}, false
}

// Image implements agent.Images.
func (f *Fake) Image(_ context.Context, ref string) (agent.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	image, ok := f.findImage(ref)
	if !ok {
		return agent.Image{}, fmt.Errorf("image %s: %w", ref, agent.ErrNotFound)
	}
	return image.Image, nil
}

// ListImages implements agent.Images, ordered by name.
func (f *Fake) ListImages(context.Context) ([]agent.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []agent.Image
	for _, ref := range slices.Sorted(maps.Keys(f.images)) {
		list = append(list, f.images[ref].Image)
	}
	return list, nil
}

// Pull implements agent.Images; it finds what is in Pullable.
func (f *Fake) Pull(_ context.Context, req agent.PullRequest) (agent.Pulled, error) {
	if err := f.fail("pull", req.Ref); err != nil {
		return agent.Pulled{}, err
	}
	if f.AskRegistry != nil {
		if err := f.AskRegistry(req.Ref, req.Auth); err != nil {
			return agent.Pulled{}, err
		}
	}
	f.mu.Lock()
	image, ok := f.Pullable[req.Ref]
	f.mu.Unlock()
	if !ok {
		return agent.Pulled{}, fmt.Errorf("pull image %s: %w", req.Ref, agent.ErrNotFound)
	}
	if req.Progress != nil {
		req.Progress(agent.PullProgress{Item: req.Ref, Status: "done"})
	}
	image.Ref = req.Ref
	f.AddImage(image)
	got, err := f.Image(context.Background(), req.Ref)
	return agent.Pulled{Image: got, From: []string{"the fake's registry"}}, err
}

// Registry implements agent.Images; it has nothing.
func (f *Fake) Registry(agent.RegistryConfig) agent.Registry { return emptyRegistry{f} }

type emptyRegistry struct{ *Fake }

func (emptyRegistry) ForNodes() http.Handler { return http.NotFoundHandler() }
func (emptyRegistry) ForUsers() http.Handler { return http.NotFoundHandler() }

func (emptyRegistry) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, agent.ErrNotFound
}

func (emptyRegistry) Pushed(context.Context) ([]agent.Image, error) { return nil, nil }

func (r emptyRegistry) Prune(context.Context) error { return r.fail("prune pushes", "") }

// RemoveImage implements agent.Images.
func (f *Fake) RemoveImage(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.images[ref]; !ok {
		return fmt.Errorf("remove image %s: %w", ref, agent.ErrNotFound)
	}
	delete(f.images, ref)
	return nil
}

// Prune implements agent.Images.
func (f *Fake) Prune(context.Context) error { return f.fail("prune", "") }

// ImageDir implements agent.Images.
func (f *Fake) ImageDir() string { return "" }

// Load implements agent.Images for uncompressed OCI archives: of these it reads the names.
func (f *Fake) Load(ctx context.Context, archive io.Reader) ([]agent.Image, error) {
	var index struct {
		Manifests []struct {
			Digest      string            `json:"digest"`
			Annotations map[string]string `json:"annotations"`
		} `json:"manifests"`
	}
	size := int64(0)
	for files := tar.NewReader(archive); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("load image archive: %w", err)
		}
		size += header.Size
		if header.Name == "index.json" {
			if err := json.NewDecoder(files).Decode(&index); err != nil {
				return nil, fmt.Errorf("load image archive: index.json: %w", err)
			}
		}
	}
	var loaded []agent.Image
	for _, m := range index.Manifests {
		f.AddImage(FakeImage{
			Image: agent.Image{
				Ref: m.Annotations["io.containerd.image.name"], Digest: m.Digest, SizeBytes: size, CreatedAt: time.Now(),
			},
			Entrypoint: []string{"sleep"},
			Env:        []string{"PATH=/bin"},
		})
		image, err := f.Image(ctx, m.Annotations["io.containerd.image.name"])
		if err != nil {
			return nil, err
		}
		loaded = append(loaded, image)
	}
	if len(loaded) == 0 {
		return nil, errors.New("load image archive: it holds no image")
	}
	return loaded, nil
}
