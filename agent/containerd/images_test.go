package containerd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"covey.dev/covey/agent/runtimetest/imagetest"
)

// TestArchives loads what people have: archives of different kinds, compressed or not, with and without a full name.
func TestArchives(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.open(t)
	plain := imagetest.Archive(t, "short:2")
	for name, c := range map[string]struct {
		archive []byte
		ref     string
	}{
		"a short name":     {plain, "docker.io/library/short:2"},
		"gzip":             {gzipped(t, imagetest.Archive(t, "reg.example/a/b:1")), "reg.example/a/b:1"},
		"zstd":             {zstandard(t, imagetest.Archive(t, "reg.example/a/c")), "reg.example/a/c:latest"},
		"docker save":      {dockerArchive(t, plain, "saved:3"), "docker.io/library/saved:3"},
		"without any name": {imagetest.Archive(t, ""), "docker.io/library/import-"},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := r.Load(t.Context(), bytes.NewReader(c.archive))
			if err != nil || len(loaded) != 1 || !strings.HasPrefix(loaded[0].Ref, c.ref) {
				t.Fatalf("loaded %+v (%v), want %s", loaded, err, c.ref)
			}
			if found, err := r.Image(t.Context(), loaded[0].Ref); err != nil || found != loaded[0] {
				t.Errorf("it is found as %+v (%v)", found, err)
			}
			if err := r.RemoveImage(t.Context(), loaded[0].Ref); err != nil {
				t.Error(err)
			}
		})
	}
	if left, err := r.ListImages(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("images are left: %+v (%v)", left, err)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}
	foreign := plain
	for from, to := range other {
		if bytes.Contains(plain, []byte(`"architecture":"`+from)) {
			foreign = bytes.ReplaceAll(plain, []byte(`"architecture":"`+from), []byte(`"architecture":"`+to))
		}
	}
	if _, err := r.Load(t.Context(), bytes.NewReader(foreign)); err == nil {
		t.Error("an image for another platform was loaded")
	} else {
		t.Log(err)
	}
	if _, err := r.Load(t.Context(), bytes.NewReader(plain[:len(plain)/2])); err == nil {
		t.Error("half an archive was loaded")
	}
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// dockerArchive rewrites an OCI archive in the form that `docker save` has.
func dockerArchive(t *testing.T, oci []byte, name string) []byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(oci)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	var index, manifest struct {
		Manifests []struct{ Digest string }
		Config    struct{ Digest string }
		Layers    []struct{ Digest string }
	}
	blob := func(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(files[blob(index.Manifests[0].Digest)], &manifest); err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(files[blob(manifest.Layers[0].Digest)]))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"1/layer.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for file, content := range map[string][]byte{
		"manifest.json": list, "config.json": files[blob(manifest.Config.Digest)], "1/layer.tar": layer,
	} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestUnpack has the runtime's programs damaged as a power cut does.
func TestUnpack(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	first, err := unpackPrograms(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(first.runc)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(first.runc, 1000); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(first.shim); err != nil {
		t.Fatal(err)
	}
	if _, err := unpackPrograms(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.Stat(first.runc)
	if err != nil || got.Size() != want.Size() || got.Mode() != 0o755 {
		t.Errorf("runc is %v (%v), want %d bytes", got, err, want.Size())
	}
	if _, err := os.Stat(first.shim); err != nil {
		t.Error(err)
	}
}
