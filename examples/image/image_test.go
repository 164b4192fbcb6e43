package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func build(t *testing.T, o options) []byte {
	t.Helper()
	o.output = filepath.Join(t.TempDir(), "image.tar")
	if err := o.run(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(o.output)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func untar(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeSymlink {
			content = []byte("-> " + h.Linkname)
		}
		files[h.Name] = content
	}
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestArchive(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"app": "#!", "www/index.html": "hi"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := options{
		name: "app:1.0", arch: "amd64", entrypoint: []string{"/bin/app"},
		files: []string{filepath.Join(dir, "app") + ":/bin/app", filepath.Join(dir, "www") + ":/srv/www"},
		links: []string{"/bin/sh=app"},
	}
	data := build(t, o)
	if !bytes.Equal(data, build(t, o)) {
		t.Error("the same input gave another archive")
	}
	files := untar(t, data)
	index := decode[ocispec.Index](t, files["index.json"])
	if got := index.Manifests[0].Annotations[nameAnnotation]; got != "docker.io/library/app:1.0" {
		t.Errorf("name %q", got)
	}
	manifest := decode[ocispec.Manifest](t, files["blobs/sha256/"+index.Manifests[0].Digest.Encoded()])
	config := decode[ocispec.Image](t, files["blobs/sha256/"+manifest.Config.Digest.Encoded()])
	if !slices.Equal(config.Config.Entrypoint, o.entrypoint) || config.Architecture != "amd64" {
		t.Errorf("configuration %+v", config)
	}
	layer := untar(t, files["blobs/sha256/"+manifest.Layers[0].Digest.Encoded()])
	for name, want := range map[string]string{"bin/app": "#!", "srv/www/index.html": "hi", "bin/sh": "-> app", "etc/passwd": passwd} {
		if got := string(layer[name]); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, o := range []options{{files: []string{"a:b"}}, {name: "x", files: []string{"nocolon"}}, {name: "x", files: []string{"/nonexistent/f:/f"}}} {
		o.output = filepath.Join(t.TempDir(), "image.tar")
		if err := o.run(); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestFullName(t *testing.T) {
	for name, want := range map[string]string{
		"hello:1.0": "docker.io/library/hello:1.0", "hello": "docker.io/library/hello:latest",
		"me/hello:2": "docker.io/me/hello:2", "localhost:5000/hello": "localhost:5000/hello:latest", "r.example/a/b:1": "r.example/a/b:1",
	} {
		if got := fullName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
