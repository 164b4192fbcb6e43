package main

import (
	"archive/tar"
	_ "crypto/sha256" // the digest package looks it up by name
	"encoding/json"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// nameAnnotation is how containerd learns what an image in an archive is called.
const nameAnnotation = "io.containerd.image.name"

// writeArchive writes an OCI image layout as a tar: https://github.com/opencontainers/image-spec.
func (o *options) writeArchive(w io.Writer, layer []byte) error {
	a := &archive{tar: tar.NewWriter(w)}
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: o.arch},
		Config:   ocispec.ImageConfig{Entrypoint: o.entrypoint, Env: append([]string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin:/"}, o.env...), User: o.user},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    a.json(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{a.blob(ocispec.MediaTypeImageLayer, layer)},
	}
	descriptor := a.json(ocispec.MediaTypeImageManifest, manifest)
	descriptor.Annotations = map[string]string{nameAnnotation: fullName(o.name), ocispec.AnnotationRefName: tag(o.name)}
	a.file(ocispec.ImageLayoutFile, encode(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}))
	a.file(ocispec.ImageIndexFile, encode(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{descriptor},
	}))
	if a.err != nil {
		return a.err
	}
	return a.tar.Close()
}

// archive remembers the first error, so that the order of the parts stays readable.
type archive struct {
	tar *tar.Writer
	err error
}

func (a *archive) json(mediaType string, v any) ocispec.Descriptor {
	return a.blob(mediaType, encode(v))
}

func (a *archive) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	a.file("blobs/"+d.Algorithm().String()+"/"+d.Encoded(), data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (a *archive) file(name string, data []byte) {
	if a.err == nil {
		a.err = a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))})
	}
	if a.err == nil {
		_, a.err = a.tar.Write(data)
	}
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // these are plain structs
	}
	return data
}
