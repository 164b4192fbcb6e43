package containerd

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const escaped = "covey-escaped"

// FuzzArchive loads image archives whose parts are anything: that ends, leaves no image that is not whole, and writes
// nothing outside of the image's own files, whatever names the layer has.
func FuzzArchive(f *testing.F) {
	needRoot(f)
	m := newMachine(f)
	r := m.open(f)
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Cmd":["x"]}}`)
	for _, name := range []string{"../../../../../../..", "/", "a/../../..", "link", ".wh...", ".wh..wh..opq", "\x00", "é\xff"} {
		f.Add(config, []byte(`[{"Config":"config.json","RepoTags":["a:1"],"Layers":["layer.tar"]}]`), []byte(nil), name, "../../../../..", byte(tar.TypeReg))
		f.Add(config, []byte(nil), []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"MANIFEST","size":1}]}`), name, "/tmp", byte(tar.TypeSymlink))
	}
	f.Add([]byte("null"), []byte("null"), []byte("null"), "a", "b", byte(tar.TypeLink))
	f.Add([]byte("{}"), []byte(`[{"Config":"../config.json","RepoTags":["../a:b","A@sha256:1"],"Layers":["link","link"]}]`), []byte("{}"), "x", "y", byte(tar.TypeChar))
	f.Fuzz(func(t *testing.T, config, manifest, index []byte, name, link string, kind byte) {
		loaded, loadErr := r.Load(t.Context(), bytes.NewReader(hostileArchive(config, manifest, index, name, link, kind)))
		if loadErr == nil && len(loaded) == 0 {
			t.Error("no image and no error")
		}
		for _, image := range loaded {
			if found, err := r.Image(t.Context(), image.Ref); err != nil || found.Digest != image.Digest {
				t.Errorf("%s was loaded, and is found as %+v (%v)", image.Ref, found, err)
			}
		}
		all, err := r.ListImages(t.Context())
		if err != nil {
			t.Error(err)
		}
		if loadErr != nil && len(all) > 0 {
			t.Errorf("after %v there is %+v", loadErr, all)
		}
		for _, image := range all {
			if err := r.RemoveImage(t.Context(), image.Ref); err != nil {
				t.Error(err)
			}
		}
		for dir := m.dir; ; dir = filepath.Dir(dir) {
			if _, err := os.Lstat(filepath.Join(dir, escaped)); err == nil {
				_ = os.RemoveAll(filepath.Join(dir, escaped))
				t.Errorf("a layer wrote into %s, with the name %q and the link %q", dir, name, link)
			}
			if dir == "/" {
				return
			}
		}
	})
}

// hostileArchive is a docker archive or, with an index, an OCI one, with one layer that has one entry and another below it.
func hostileArchive(config, manifest, index []byte, name, link string, kind byte) []byte {
	var layer, archive bytes.Buffer
	inner := tar.NewWriter(&layer)
	write := func(w *tar.Writer, header tar.Header, content []byte) {
		header.Size, header.Mode = int64(len(content)), 0o644
		if w.WriteHeader(&header) == nil { // what tar cannot write, nobody can load
			_, _ = w.Write(content)
		}
	}
	write(inner, tar.Header{Name: "link", Linkname: link, Typeflag: tar.TypeSymlink}, nil)
	write(inner, tar.Header{Name: name, Linkname: link, Typeflag: kind}, nil)
	write(inner, tar.Header{Name: name + "/" + escaped, Typeflag: tar.TypeReg}, []byte("x"))
	write(inner, tar.Header{Name: "link/" + escaped, Typeflag: tar.TypeReg}, []byte("x"))
	_ = inner.Close()

	outer := tar.NewWriter(&archive)
	config = bytes.Replace(config, []byte(`"diff_ids":[]`), []byte(`"diff_ids":["`+digest.FromBytes(layer.Bytes()).String()+`"]`), 1)
	blob := func(content []byte) (d digest.Digest) {
		d = digest.FromBytes(content)
		write(outer, tar.Header{Name: "blobs/sha256/" + d.Encoded(), Typeflag: tar.TypeReg}, content)
		return d
	}
	if len(index) > 0 {
		m, _ := json.Marshal(ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest,
			Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: blob(config), Size: int64(len(config))},
			Layers:    []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: blob(layer.Bytes()), Size: int64(layer.Len())}},
		})
		index = bytes.ReplaceAll(index, []byte(`"digest":"MANIFEST","size":1`), fmt.Appendf(nil, `"digest":%q,"size":%d`, blob(m), len(m)))
		write(outer, tar.Header{Name: "oci-layout", Typeflag: tar.TypeReg}, []byte(`{"imageLayoutVersion":"1.0.0"}`))
		write(outer, tar.Header{Name: "index.json", Typeflag: tar.TypeReg}, index)
	}
	if len(manifest) > 0 {
		write(outer, tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg}, manifest)
	}
	write(outer, tar.Header{Name: "config.json", Typeflag: tar.TypeReg}, config)
	write(outer, tar.Header{Name: "layer.tar", Typeflag: tar.TypeReg}, layer.Bytes())
	write(outer, tar.Header{Name: "link", Linkname: "layer.tar", Typeflag: tar.TypeSymlink}, nil)
	_ = outer.Close()
	return archive.Bytes()
}

// TestABombIsNotUnpacked loads 100 KB that say they are a layer of 10 GB: the disk keeps its reserve, and then gets back
// what was written.
func TestABombIsNotUnpacked(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	blobs := filepath.Join(m.dir, "root")
	m.diskSpace = func(string) (free, total uint64, err error) {
		const disk = 128 << 20
		return disk - min(disk, uint64(sizeOf(t, blobs))), disk, nil
	}
	r := m.open(t)
	bomb, w := io.Pipe()
	go func() {
		zip, err := zstd.NewWriter(w)
		if err != nil {
			_ = w.CloseWithError(err)
			return
		}
		archive := tar.NewWriter(zip)
		const size = 10 << 30
		_ = archive.WriteHeader(&tar.Header{Name: "layer.tar", Typeflag: tar.TypeReg, Size: size, Mode: 0o644})
		_, err = io.CopyN(archive, zeros{}, size) // until the reader has had enough
		_ = w.CloseWithError(err)
	}()
	_, err := r.Load(t.Context(), bomb)
	_ = bomb.Close()
	if err == nil || !strings.Contains(err.Error(), "more space than the disk has to spare") {
		t.Fatalf("it was answered with %v", err)
	}
	if written := sizeOf(t, blobs); written > 120<<20 {
		t.Errorf("it wrote %d bytes", written)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}
