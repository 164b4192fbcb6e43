package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// document is what manifests and indexes have in them that counts here.
type document struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       *ocispec.Descriptor  `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Subject      *ocispec.Descriptor  `json:"subject"`
	Annotations  map[string]string    `json:"annotations"`
}

// find gives what a tag or digest stands for.
func (g *Registry) find(ctx context.Context, repository, id string) (agent.Manifest, error) {
	manifests, err := g.Repositories.Repository(ctx, repository)
	if err != nil {
		return agent.Manifest{}, err
	}
	if m, ok := manifests[id]; ok {
		return m, nil
	}
	for _, m := range manifests {
		if m.Digest == id {
			return m, nil
		}
	}
	return agent.Manifest{}, &failure{http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("%s has no manifest %s", userName(repository), id)}
}

func (g *Registry) getManifest(w http.ResponseWriter, r *http.Request, t target) error {
	m, err := g.find(r.Context(), t.repository, t.id)
	if err != nil {
		return err
	}
	d := digest.Digest(m.Digest)
	err = g.sendAs(w, r, m.MediaType, d)
	if errdefs.IsNotFound(err) {
		err = g.sendFromOthers(w, r, t, d, m.Digest)
	}
	if errdefs.IsNotFound(err) {
		return &failure{http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("the nodes that have %s:%s cannot be reached: push it again", userName(t.repository), t.id)}
	}
	return err
}

// putManifest keeps a manifest, and with it the blobs that it names.
func (g *Registry) putManifest(w http.ResponseWriter, r *http.Request, t target) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MostManifest))
	if err != nil {
		return &failure{http.StatusRequestEntityTooLarge, "SIZE_INVALID", err.Error()}
	}
	desc, doc, err := describe(t, r.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if err := g.complete(ctx, doc); err != nil {
		return err
	}
	ctx, release, err := g.lease(ctx, desc.Digest)
	if err != nil {
		return err
	}
	err = g.keep(ctx, desc, body)
	if err == nil {
		err = g.name(ctx, t, desc, doc)
	}
	if err == nil { // after it has a name, or Pushed would take it for left over
		err = g.record(ctx, images.Image{Name: joinName(t.repository, t.id), Target: desc})
	}
	if err = errors.Join(err, release()); err != nil {
		return err
	}
	blobs := []digest.Digest{desc.Digest}
	if doc.Config != nil {
		blobs = append(blobs, doc.Config.Digest)
	}
	for _, layer := range doc.Layers {
		blobs = append(blobs, layer.Digest)
	}
	if err := g.letGo(ctx, blobs); err != nil {
		g.Logger.Warn("leases on blobs that were pushed were not ended; they expire", "error", err)
	}
	g.changed(ctx)
	if doc.Subject != nil {
		w.Header().Set("OCI-Subject", doc.Subject.Digest.String())
	}
	w.Header().Set("Location", "/v2/"+t.name+"/manifests/"+desc.Digest.String())
	w.Header().Set(HeaderDigest, desc.Digest.String())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// describe checks what is pushed against its name and type.
func describe(t target, contentType string, body []byte) (ocispec.Descriptor, document, error) {
	invalid := func(format string, args ...any) error {
		return &failure{http.StatusBadRequest, "MANIFEST_INVALID", fmt.Sprintf(format, args...)}
	}
	desc := ocispec.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return desc, doc, invalid("the manifest is not JSON: %s", err)
	}
	contentType, _, _ = strings.Cut(contentType, ";")
	if desc.MediaType = contentType; desc.MediaType == "" {
		desc.MediaType = doc.MediaType
	}
	if desc.MediaType == "" || doc.MediaType != "" && doc.MediaType != desc.MediaType {
		return desc, doc, invalid("the manifest says that it is %q, its Content-Type is %q", doc.MediaType, contentType)
	}
	if strings.Contains(t.id, ":") {
		named, err := sha256(t.id)
		if err == nil && named != desc.Digest {
			err = &failure{http.StatusBadRequest, "DIGEST_INVALID", "the manifest is not what its digest says"}
		}
		return desc, doc, err
	}
	if !tagForm.MatchString(t.id) {
		return desc, doc, invalid("%q is no tag", t.id)
	}
	return desc, doc, nil
}

// complete says which blob is missing. The manifests of an index may come later, or never.
func (g *Registry) complete(ctx context.Context, doc document) error {
	blobs := doc.Layers
	if doc.Config != nil {
		blobs = append([]ocispec.Descriptor{*doc.Config}, blobs...)
	}
	for _, blob := range blobs {
		if images.IsNonDistributable(blob.MediaType) {
			continue
		}
		_, err := g.Content.Info(ctx, blob.Digest)
		if errdefs.IsNotFound(err) {
			return &failure{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", fmt.Sprintf("blob %s was not pushed to this node", blob.Digest)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keep stores the manifest, and has what it names stay as long as it.
func (g *Registry) keep(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
	err := content.WriteBlob(ctx, g.Content, pushLease+desc.Digest.String(), bytes.NewReader(body), desc)
	if errdefs.IsAlreadyExists(err) {
		err = g.hold(ctx, desc.Digest)
	}
	if err != nil {
		return err
	}
	label := images.SetChildrenMappedLabels(g.Content, images.ChildrenHandler(g.Content), images.ChildGCLabels)
	_, err = label.Handle(ctx, desc)
	return err
}

// record has the garbage collection keep a manifest.
func (g *Registry) record(ctx context.Context, image images.Image) error {
	unlock, err := g.lockRecords(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = g.Images.Create(ctx, image)
	if errdefs.IsAlreadyExists(err) {
		_, err = g.Images.Update(ctx, image)
	}
	return err
}

// name tells the cluster what was pushed.
func (g *Registry) name(ctx context.Context, t target, desc ocispec.Descriptor, doc document) error {
	m := agent.Manifest{MediaType: desc.MediaType, Digest: desc.Digest.String(), SizeBytes: desc.Size, ArtifactType: doc.ArtifactType}
	if doc.Subject != nil {
		m.Subject, m.Annotations = doc.Subject.Digest.String(), doc.Annotations
		if m.ArtifactType == "" && doc.Config != nil {
			m.ArtifactType = doc.Config.MediaType
		}
	}
	return g.Repositories.ChangeRepository(ctx, t.repository, func(manifests map[string]agent.Manifest) error {
		manifests[t.id] = m
		return nil
	})
}

// deleteManifest takes a tag away; by its digest a manifest with all its tags.
func (g *Registry) deleteManifest(w http.ResponseWriter, r *http.Request, t target) error {
	ctx := r.Context()
	err := g.Repositories.ChangeRepository(ctx, t.repository, func(manifests map[string]agent.Manifest) error {
		found := false
		for id, m := range manifests {
			if id == t.id || m.Digest == t.id {
				delete(manifests, id)
				found = true
			}
		}
		if !found {
			return &failure{http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("%s has no manifest %s", userName(t.repository), t.id)}
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.changed(ctx)
	w.WriteHeader(http.StatusAccepted)
	return nil
}
