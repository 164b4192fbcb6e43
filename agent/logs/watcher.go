package logs

import (
	"context"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// watcher tells of changes to a log's files. A nil watcher stands for not following.
type watcher struct {
	notify *fsnotify.Watcher
	path   string
}

// watch watches the log's folder, because its files are renamed and made anew.
func watch(path string) (*watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := n.Add(filepath.Dir(path)); err != nil {
		_ = n.Close()
		return nil, err
	}
	return &watcher{notify: n, path: filepath.Clean(path)}, nil
}

func (w *watcher) close() { _ = w.notify.Close() }

// ended is whether no more will be written after what is there now.
func (w *watcher) ended(ended <-chan struct{}) bool {
	if w == nil {
		return true
	}
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// wait returns after the log changed or the container ended.
func (w *watcher) wait(ctx context.Context, ended <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return nil
		case err, ok := <-w.notify.Errors:
			if !ok {
				return fsnotify.ErrClosed
			}
			if err != nil {
				return err
			}
		case event, ok := <-w.notify.Events:
			if !ok {
				return fsnotify.ErrClosed
			}
			if event.Name == w.path {
				return nil
			}
		}
	}
}
