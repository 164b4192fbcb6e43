package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

const (
	uploadPrefix = "upload-"     // of the names under which containerd keeps uploads that go on
	pushLease    = "covey-push-" // of the names of leases on blobs that no manifest names yet
	labelBlob    = "covey.dev/blob"
	// unnamedKept is how long such blobs stay.
	unnamedKept = 24 * time.Hour
)

// startUpload begins an upload, or does all of it: with a digest the body is the blob, with a mount it may be here already.
func (g *Registry) startUpload(w http.ResponseWriter, r *http.Request, t target) error {
	query := r.URL.Query()
	if mount := query.Get("mount"); mount != "" {
		if d, err := sha256(mount); err == nil {
			if _, err := g.Content.Info(r.Context(), d); err == nil {
				if err := g.hold(r.Context(), d); err != nil {
					return err
				}
				return created(w, t, d)
			}
		}
	}
	id := uuid.NewString()
	writer, err := content.OpenWriter(r.Context(), g.Content, content.WithRef(uploadPrefix+id))
	if err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	t.id = id
	if query.Get("digest") != "" {
		return g.finishUpload(w, r, t)
	}
	accepted(w, t, 0, http.StatusAccepted)
	return nil
}

// accepted says where to go on with an upload.
func accepted(w http.ResponseWriter, t target, offset int64, status int) {
	w.Header().Set("Location", "/v2/"+t.name+"/blobs/uploads/"+t.id)
	w.Header().Set("Docker-Upload-UUID", t.id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(offset-1, 0)))
	w.WriteHeader(status)
}

func created(w http.ResponseWriter, t target, d digest.Digest) error {
	w.Header().Set("Location", "/v2/"+t.name+"/blobs/"+d.String())
	w.Header().Set(HeaderDigest, d.String())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// upload finds one that goes on.
func (g *Registry) upload(ctx context.Context, t target) (content.Status, error) {
	status, err := g.Content.Status(ctx, uploadPrefix+t.id)
	if errdefs.IsNotFound(err) {
		err = &failure{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "the upload is not known on this node"}
	}
	return status, err
}

func (g *Registry) uploadState(w http.ResponseWriter, r *http.Request, t target) error {
	status, err := g.upload(r.Context(), t)
	if err != nil {
		return err
	}
	accepted(w, t, status.Offset, http.StatusNoContent)
	return nil
}

func (g *Registry) cancelUpload(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := g.upload(r.Context(), t); err != nil {
		return err
	}
	if err := g.Content.Abort(r.Context(), uploadPrefix+t.id); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (g *Registry) continueUpload(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := g.upload(r.Context(), t); err != nil {
		return err
	}
	writer, err := content.OpenWriter(r.Context(), g.Content, content.WithRef(uploadPrefix+t.id))
	if err != nil {
		return err
	}
	defer func() { _ = writer.Close() }()
	offset, err := g.receive(w, r, t, writer)
	if err != nil {
		return err
	}
	accepted(w, t, offset, http.StatusAccepted)
	return nil
}

// receive appends the body to an upload, and gives its length then.
func (g *Registry) receive(w http.ResponseWriter, r *http.Request, t target, writer content.Writer) (int64, error) {
	status, err := writer.Status()
	if err != nil {
		return 0, err
	}
	if part := r.Header.Get("Content-Range"); part != "" {
		first, _, _ := strings.Cut(strings.TrimPrefix(part, "bytes "), "-")
		if from, err := strconv.ParseInt(first, 10, 64); err != nil || from != status.Offset {
			w.Header().Set("Location", "/v2/"+t.name+"/blobs/uploads/"+t.id)
			w.Header().Set("Range", fmt.Sprintf("0-%d", max(status.Offset-1, 0)))
			return 0, &failure{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", fmt.Sprintf("the upload goes on at byte %d", status.Offset)}
		}
	}
	n, err := io.Copy(writer, g.Guard(r.Body))
	if errors.Is(err, g.NoSpace) {
		_ = writer.Close()
		return 0, errors.Join(&failure{http.StatusInsufficientStorage, "DENIED", err.Error()}, g.giveUp(r.Context(), t))
	}
	if err != nil {
		return 0, &failure{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the upload was broken off: " + err.Error()}
	}
	return status.Offset + n, nil
}

// giveUp removes what came of an upload that the disk has no room for, also when the client has gone. An upload that is broken off for
// another reason may go on.
func (g *Registry) giveUp(ctx context.Context, t target) error {
	err := g.Content.Abort(context.WithoutCancel(ctx), uploadPrefix+t.id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// finishUpload takes the last of a blob, and keeps it if it is what its digest says.
func (g *Registry) finishUpload(w http.ResponseWriter, r *http.Request, t target) error {
	ctx, ref := r.Context(), uploadPrefix+t.id
	if _, err := g.upload(ctx, t); err != nil {
		return err
	}
	d, err := sha256(r.URL.Query().Get("digest"))
	if err != nil {
		return errors.Join(err, g.Content.Abort(ctx, ref))
	}
	// The garbage collection must not come between the blob and what holds it.
	ctx, release, err := g.lease(ctx, d)
	if err != nil {
		return err
	}
	writer, err := content.OpenWriter(ctx, g.Content, content.WithRef(ref))
	if err != nil {
		return errors.Join(err, release())
	}
	defer func() { _ = writer.Close() }()
	if _, err := g.receive(w, r, t, writer); err != nil {
		return errors.Join(err, release())
	}
	err = writer.Commit(ctx, 0, d)
	switch {
	case errdefs.IsAlreadyExists(err):
		if err := g.hold(ctx, d); err != nil {
			return errors.Join(err, release())
		}
		_ = g.Content.Abort(ctx, ref) // it may be gone with the commit
	case errdefs.IsFailedPrecondition(err):
		_ = writer.Close()
		return errors.Join(&failure{http.StatusBadRequest, "DIGEST_INVALID", "the blob is not what its digest says"}, g.Content.Abort(ctx, ref), release())
	case err != nil:
		return errors.Join(err, release())
	}
	return created(w, t, d)
}

// lease makes a lease for a blob that no manifest names yet.
func (g *Registry) lease(ctx context.Context, d digest.Digest) (leased context.Context, release func() error, err error) {
	lease, err := g.Leases.Create(ctx, leases.WithID(pushLease+uuid.NewString()), leases.WithExpiration(unnamedKept),
		leases.WithLabels(map[string]string{labelBlob: d.String()}))
	if err != nil {
		return nil, nil, err
	}
	return leases.WithLease(ctx, lease.ID), func() error { return g.Leases.Delete(ctx, lease) }, nil
}

// hold keeps a blob that is here until a manifest names it.
func (g *Registry) hold(ctx context.Context, d digest.Digest) error {
	ctx, _, err := g.lease(ctx, d)
	if err != nil {
		return err
	}
	id, _ := leases.FromContext(ctx)
	return g.Leases.AddResource(ctx, leases.Lease{ID: id}, leases.Resource{ID: d.String(), Type: "content"})
}

// letGo ends the leases on blobs that a manifest names now.
func (g *Registry) letGo(ctx context.Context, blobs []digest.Digest) error {
	var filters []string
	for _, d := range blobs {
		filters = append(filters, fmt.Sprintf("labels.%q==%q", labelBlob, d.String()))
	}
	if len(filters) == 0 {
		return nil
	}
	held, err := g.Leases.List(ctx, filters...)
	for _, lease := range held {
		if e := g.Leases.Delete(ctx, lease); e != nil && !errdefs.IsNotFound(e) {
			err = errors.Join(err, e)
		}
	}
	return err
}
