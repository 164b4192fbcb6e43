// Package imagetest builds the small image that tests run containers of: one static Go program under many names.
package imagetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// programs are the names that the image's program goes by, in /bin.
var programs = []string{
	"echo", "err", "exit", "sleep", "stubborn", "cat", "env", "tty", "tick", "oom", "write", "id", "spawn", "burst",
}

// Archive gives an image as an OCI archive. Its entrypoint is "sleep". Without a name the archive names no image.
func Archive(t testing.TB, name string) []byte {
	t.Helper()
	program, err := compiled()
	if err != nil {
		t.Fatalf("build the test image's program: %v", err)
	}
	archive, err := Image(name, program, programs, Config())
	if err != nil {
		t.Fatalf("build the test image: %v", err)
	}
	return archive
}

// Config is the test image's configuration.
func Config() ocispec.ImageConfig {
	return ocispec.ImageConfig{Env: []string{"PATH=/bin"}, Entrypoint: []string{"sleep"}}
}

// compiled builds the program once per process.
var compiled = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "covey-imagetest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "covey.dev/covey/agent/runtimetest/imagetest/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, output)
	}
	return os.ReadFile(out)
})

// Image gives an OCI archive of an image for this platform with one program, in /bin under the given names.
func Image(name string, program []byte, names []string, config ocispec.ImageConfig) ([]byte, error) {
	layer, err := layerOf(program, names)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(layer); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	a := &archive{}
	a.tar = tar.NewWriter(&a.out)
	platform := ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	configDesc := a.blob(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: platform,
		Config:   config,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
	manifest := a.blob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    configDesc,
		Layers:    []ocispec.Descriptor{a.bytes(ocispec.MediaTypeImageLayerGzip, packed.Bytes())},
	})
	manifest.Platform = &platform
	if name != "" {
		manifest.Annotations = map[string]string{"io.containerd.image.name": name}
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{manifest}}
	a.json("index.json", index)
	a.json(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if a.err == nil {
		a.err = a.tar.Close()
	}
	return a.out.Bytes(), a.err
}

// layerOf is a file system with the program, /tmp, and users to look up.
func layerOf(program []byte, names []string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(h tar.Header, content []byte) error {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	for _, dir := range []string{"bin/", "etc/", "tmp/"} {
		if err := add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o1777}, nil); err != nil {
			return nil, err
		}
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0::/:\nuser:x:1000:1000::/:\n",
		"etc/group":  "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n",
	}
	for _, name := range []string{"etc/passwd", "etc/group"} {
		if err := add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, []byte(files[name])); err != nil {
			return nil, err
		}
	}
	if err := add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/program", Mode: 0o755}, program); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "program", Mode: 0o777}, nil); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// archive is an OCI layout in a tar file; the first error is kept.
type archive struct {
	out bytes.Buffer
	tar *tar.Writer
	err error
}

func (a *archive) file(name string, content []byte) {
	if a.err != nil {
		return
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
	if a.err = a.tar.WriteHeader(header); a.err == nil {
		_, a.err = a.tar.Write(content)
	}
}

func (a *archive) json(name string, value any) {
	content, err := json.Marshal(value)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, content)
}

func (a *archive) bytes(mediaType string, content []byte) ocispec.Descriptor {
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	a.file("blobs/sha256/"+sum, content)
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest("sha256:" + sum), Size: int64(len(content))}
}

func (a *archive) blob(mediaType string, value any) ocispec.Descriptor {
	content, err := json.Marshal(value)
	if err != nil && a.err == nil {
		a.err = err
	}
	return a.bytes(mediaType, content)
}
