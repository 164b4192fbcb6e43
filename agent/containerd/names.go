package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
)

// namesFile holds the images' names and what they stand for, a second time: containerd has them in its database only, and
// when that is damaged the images are found again by them. It is written when images come and go.
func namesFile(root string) string { return filepath.Join(root, "images.json") }

// noteNames writes the names down if they have changed.
func (r *Runtime) noteNames(ctx context.Context) {
	if r.cfg.Containerd != "" {
		return // others take care of it
	}
	r.naming.Lock()
	defer r.naming.Unlock()
	if err := r.writeNames(ctx); err != nil && ctx.Err() == nil {
		r.log.Warn("the images' names could not be kept beside containerd's database", "err", err)
	}
}

func (r *Runtime) writeNames(ctx context.Context) error {
	list, err := r.client.ImageService().List(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b images.Image) int { return strings.Compare(a.Name, b.Name) })
	content, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	file := namesFile(r.cfg.Root)
	if before, err := os.ReadFile(file); err == nil && bytes.Equal(before, content) {
		return nil
	}
	return writeSynced(file, content)
}

// readNames gives the images that were noted; none where there is no note or it is damaged, too.
func readNames(root string) ([]images.Image, error) {
	content, err := os.ReadFile(namesFile(root))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []images.Image
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("read %s: %w", namesFile(root), err)
	}
	return list, nil
}

// writeSynced writes a file so that it is there whole or not at all, also after a power cut.
func writeSynced(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone when all went well
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
