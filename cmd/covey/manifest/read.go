package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxSource is how much is read of one file, in bytes; more is no manifest.
const maxSource = 256 << 20

var extensions = []string{".json", ".yaml", ".yml"}

// Sources are what -f was given.
type Sources struct {
	Names     []string // files, directories, URLs, "-"
	Recursive bool     // directories below directories too
	Stdin     io.Reader
}

// Objects reads the sources one after the other. What cannot be read comes as an error that says where, and the next
// document follows.
func (s Sources) Objects(ctx context.Context) iter.Seq2[*Object, error] {
	return func(yield func(*Object, error) bool) {
		for _, name := range s.Names {
			files, err := s.expand(name)
			if err != nil && !yield(nil, err) {
				return
			}
			for _, file := range files {
				data, err := s.read(ctx, file)
				if err != nil {
					if !yield(nil, err) {
						return
					}
					continue
				}
				if !parse(file, data, yield) {
					return
				}
			}
		}
	}
}

func isURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// expand gives the files of a directory, in order, or the name itself.
func (s Sources) expand(name string) ([]string, error) {
	if name == "-" || isURL(name) {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the path %q does not exist", name)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != name && !s.Recursive:
			return fs.SkipDir
		case !d.IsDir() && slices.Contains(extensions, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no manifests in %q: recognized file extensions are %v", name, extensions)
	}
	return files, err
}

func (s Sources) read(ctx context.Context, name string) ([]byte, error) {
	from, err := s.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	data, err := readAll(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return data, nil
}

func (s Sources) open(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(s.Stdin), nil
	}
	if !isURL(name) {
		return os.Open(name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("read %q: the server answered %s", name, resp.Status)
	}
	return resp.Body, nil
}

// readAll gives up when ctx ends, also while a terminal or a pipe keeps it waiting; the read then ends with the process.
func readAll(ctx context.Context, from io.Reader) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(from, maxSource+1))
		if err == nil && len(data) > maxSource {
			err = fmt.Errorf("more than %d MiB", maxSource>>20)
		}
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
