package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Where containerd's database is damaged it is made anew. What it knew is stopped (orphans.go) and thrown away: containers
// and their layers. The agent makes them again from the pods. What is not thrown away are the images' parts, which lie in
// files named by their digests. From the names that were noted beside the database (names.go) the images are put together
// again, and unpacked when a container is made of them. An image that lacks a part is not brought back, and pulled again.

// contentFolder, as containerd calls it, holds the images' parts.
const contentFolder = "io.containerd.content.v1.content"

// rebuildMark is there while containerd's database is made anew, so that a covey that is killed meanwhile goes on with it.
func rebuildMark(root string) string { return filepath.Join(root, "rebuild") }

// repairDatabases begins to make containerd's databases anew if one is damaged. containerd does not run yet.
func repairDatabases(ctx context.Context, cfg Config) error {
	err := checkDatabases(cfg.Root)
	var damaged *damagedError
	if !errors.As(err, &damaged) {
		return err
	}
	if err := beginRebuild(ctx, cfg, damaged); err != nil {
		return fmt.Errorf("make containerd's database anew, because %s is damaged: %w", damaged.file, err)
	}
	return nil
}

// beginRebuild sets damaged databases aside and stops and removes all that only they knew of.
func beginRebuild(ctx context.Context, cfg Config, damaged *damagedError) error {
	aside := filepath.Join(cfg.Root, filepath.Base(damaged.file)+".damaged")
	cfg.Logger.Warn("containerd's database is damaged: it is set aside and made anew, and the pods are started again",
		"file", damaged.file, "aside", aside, "damage", damaged.err)
	if err := writeSynced(rebuildMark(cfg.Root), nil); err != nil {
		return err
	}
	err := stopOrphans(ctx, cfg)
	if err != nil {
		return err
	}
	// What was fetched of images that were not whole: nobody knows any more what it is of.
	if err := os.RemoveAll(filepath.Join(cfg.Root, contentFolder, "ingest")); err != nil {
		return err
	}
	// containerd's own first: as long as it is missing a covey that was killed begins here again.
	for _, file := range []string{databaseFile(cfg.Root), damaged.file} {
		if file == damaged.file {
			err = moveAside(file, aside)
		} else {
			err = os.RemoveAll(file)
		}
		if err != nil {
			return err
		}
	}
	for _, folder := range snapshotters {
		if err := os.RemoveAll(filepath.Join(cfg.Root, folder)); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(filepath.Dir(databaseFile(cfg.Root))), syncDir(cfg.Root))
}

// moveAside keeps a damaged file for whoever wants to look at it, one of each name.
func moveAside(file, aside string) error {
	if err := os.Rename(file, aside); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// finishRebuild brings the images back, once containerd runs on a new database.
func (r *Runtime) finishRebuild(ctx context.Context) error {
	if _, err := os.Stat(rebuildMark(r.cfg.Root)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	names, err := readNames(r.cfg.Root)
	if err != nil {
		r.log.Warn("the images' names are lost: images are pulled or have to be loaded again", "err", err)
	}
	// The lease keeps the parts until their image is there.
	ctx, release, err := r.client.WithLease(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = release(context.WithoutCancel(ctx)) }() // it expires
	store, err := local.NewStore(filepath.Join(r.cfg.Root, contentFolder))
	if err != nil {
		return err
	}
	parts := &partStore{files: store, known: r.client.ContentStore(), wanted: map[digest.Digest]bool{}}
	for _, image := range names {
		err := r.bringBack(ctx, parts, image)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.log.Warn("an image is not whole: it is pulled or has to be loaded again", "image", image.Name, "err", err)
		default:
			r.log.Info("an image was brought back", "image", image.Name)
		}
	}
	if err := parts.dropOthers(ctx); err != nil {
		return err
	}
	return os.Remove(rebuildMark(r.cfg.Root))
}

// bringBack tells containerd of an image and its parts.
func (r *Runtime) bringBack(ctx context.Context, parts *partStore, image images.Image) error {
	handler := images.SetChildrenMappedLabels(parts.known, images.HandlerFunc(parts.adopt), images.ChildGCLabels)
	if err := images.Walk(ctx, handler, image.Target); err != nil {
		return err
	}
	whole, _, _, missing, err := images.Check(ctx, parts.known, image.Target, platforms.Default())
	if err != nil {
		return err
	}
	if !whole || len(missing) > 0 {
		return fmt.Errorf("%d parts are missing", len(missing))
	}
	_, err = r.client.ImageService().Create(ctx, image)
	if errdefs.IsAlreadyExists(err) {
		return nil // from before it was killed
	}
	return err
}

// partStore is the images' parts: the files, and what containerd's new database knows of them.
type partStore struct {
	files  content.Store
	known  content.Store
	wanted map[digest.Digest]bool
}

// adopt makes a part known, if its file is there and whole, and gives those that it refers to.
func (p *partStore) adopt(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if !p.wanted[desc.Digest] {
		err := p.verify(ctx, desc)
		if errdefs.IsNotFound(err) {
			return nil, images.ErrSkipDesc // for another platform, or lost: the check of the whole tells
		}
		if err != nil {
			return nil, err
		}
		if err := p.know(ctx, desc); err != nil {
			return nil, err
		}
		p.wanted[desc.Digest] = true
	}
	return images.Children(ctx, p.known, desc)
}

// verify reads a file, and removes it if it is not what its name says: what damaged the database may have damaged this.
func (p *partStore) verify(ctx context.Context, desc ocispec.Descriptor) error {
	reader, err := p.files.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	verifier := desc.Digest.Verifier()
	if _, err := io.Copy(verifier, content.NewReader(reader)); err == nil && verifier.Verified() {
		return nil
	}
	return errors.Join(p.files.Delete(ctx, desc.Digest), fmt.Errorf("part %s is damaged: %w", desc.Digest, errdefs.ErrNotFound))
}

func (p *partStore) know(ctx context.Context, desc ocispec.Descriptor) error {
	w, err := p.known.Writer(ctx, content.WithRef("rebuild-"+desc.Digest.String()), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// dropOthers removes the files of parts that are of no image.
func (p *partStore) dropOthers(ctx context.Context) error {
	var others []digest.Digest
	err := p.files.Walk(ctx, func(info content.Info) error {
		if _, err := p.known.Info(ctx, info.Digest); errdefs.IsNotFound(err) {
			others = append(others, info.Digest)
		}
		return nil
	})
	for _, d := range others {
		err = errors.Join(err, p.files.Delete(ctx, d))
	}
	return err
}
