package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/view"
	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

const (
	// A watch without a timeout ends after this much and up to as much again, so that they don't all come back at once.
	minWatch = 30 * time.Minute
	// bookmarkEvery is how often a quiet watch is told how far it has come, if anything has happened elsewhere.
	bookmarkEvery = time.Minute
)

// watcher is one watch under way. It holds no events: it pulls them from the store as fast as its client reads.
type watcher struct {
	*call
	opts     *listOptions
	source   *store.Watcher
	stream   *wire.Stream
	format   wire.Format
	columns  bool   // the columns of a Table were sent
	bookmark uint64 // revision of the last bookmark
}

// watch streams what happens to the selected objects until the time is up or the client or the server goes.
func watch(c *call, opts *listOptions) error {
	f, err := c.format(false)
	if err != nil {
		return err
	}
	w := &watcher{call: c, opts: opts, format: f}
	initial, err := w.begin()
	gone := errors.Is(err, store.ErrExpired)
	if err != nil && !gone {
		return err
	}
	if w.stream, err = wire.NewStream(c.w, f); err != nil {
		return err
	}
	if gone {
		return w.fail(store.ErrExpired)
	}
	// From here on the status is sent, and an error can only be an event or the end of the stream.
	ctx, cancel := context.WithTimeout(c.ctx(), opts.duration())
	defer cancel()
	if w.sendInitial(initial) != nil {
		return nil
	}
	return w.follow(ctx)
}

func (o *listOptions) duration() time.Duration {
	if o.TimeoutSeconds != nil && *o.TimeoutSeconds > 0 {
		return time.Duration(*o.TimeoutSeconds) * time.Second
	}
	return minWatch + rand.N(minWatch) //nolint:gosec // spreads load, hides nothing
}

// begin finds where the watch starts: at a revision, or at a snapshot whose objects are sent first (nil: none are).
func (w *watcher) begin() (*store.Snapshot, error) {
	from := w.opts.ResourceVersion
	initial := w.opts.SendInitialEvents
	revision, err := parseRevision(from)
	if err != nil {
		return nil, err
	}
	if initial == nil && revision > 0 {
		return nil, w.startAt(revision)
	}
	snap, err := w.snapshot(from)
	if err != nil {
		return nil, err
	}
	if initial != nil && !*initial {
		if revision > 0 {
			return nil, w.startAt(revision)
		}
		return nil, w.startAt(snap.Revision())
	}
	return snap, w.startAt(snap.Revision())
}

func (w *watcher) startAt(revision uint64) (err error) {
	if err := w.reach(revision); err != nil {
		return err
	}
	w.source, err = w.cfg.Store.Watch(revision, w.kind.Resource())
	return err
}

// sendInitial sends the objects there are as if they were just added.
func (w *watcher) sendInitial(snap *store.Snapshot) error {
	if snap == nil {
		return nil
	}
	for rec := range snap.List(w.kind.Resource(), w.opts.namespace) {
		if !w.opts.selects(rec) {
			continue
		}
		if err := w.send(apiwatch.Added, w.kind.Read(rec.Object())); err != nil {
			return err
		}
	}
	if w.opts.SendInitialEvents != nil && w.opts.AllowWatchBookmarks {
		if err := w.sendBookmark(snap.Revision(), true); err != nil {
			return err
		}
	}
	return w.stream.Flush()
}

// follow sends events until ctx ends or the client goes.
func (w *watcher) follow(ctx context.Context) error {
	for {
		events, err := w.next(ctx)
		switch {
		case errors.Is(err, store.ErrExpired):
			return w.fail(err)
		case err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded):
			return w.fail(err)
		case w.sendAll(events) != nil:
			return nil // the client is gone
		case ctx.Err() != nil:
			return w.end() // only now: its bookmark is behind the events that were just taken
		case len(events) == 0 && w.sendProgress() != nil:
			return nil
		}
	}
}

// next waits for events, and where bookmarks are wanted no longer than until the next is due.
func (w *watcher) next(ctx context.Context) ([]store.Event, error) {
	if !w.opts.AllowWatchBookmarks {
		return w.source.Next(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, bookmarkEvery)
	defer cancel()
	return w.source.Next(ctx)
}

// end closes a watch whose time is up; a last bookmark lets the client come back where it was.
func (w *watcher) end() error {
	if w.ctx().Err() == nil {
		_ = w.sendProgress()
	}
	return nil
}

// sendProgress sends a bookmark if the watch has come further than the last one said.
func (w *watcher) sendProgress() error {
	if revision := w.source.Revision(); w.opts.AllowWatchBookmarks && revision > w.bookmark {
		if err := w.sendBookmark(revision, false); err != nil {
			return err
		}
		return w.stream.Flush()
	}
	return nil
}

func (w *watcher) sendAll(events []store.Event) error {
	sent := false
	for _, e := range events {
		typ, obj := w.opts.seen(e)
		if obj == nil {
			continue
		}
		if err := w.send(typ, obj); err != nil {
			return err
		}
		sent = true
	}
	if !sent {
		return nil
	}
	return w.stream.Flush()
}

// seen is an event as one who sees only the selection sees it: an object that enters is added, one that leaves is
// deleted, as it was before and at the revision of the change.
func (o *listOptions) seen(e store.Event) (apiwatch.EventType, kind.Object) {
	is, was := o.selects(e.Cur), o.selects(e.Prev)
	switch {
	case is && was:
		return apiwatch.Modified, o.kind.Read(e.Cur.Object())
	case is:
		return apiwatch.Added, o.kind.Read(e.Cur.Object())
	case was:
		obj := o.kind.Read(e.Prev.Object()).DeepCopyObject().(kind.Object)
		obj.SetResourceVersion(fmt.Sprint(e.Revision))
		return apiwatch.Deleted, obj
	}
	return "", nil
}

func (w *watcher) send(typ apiwatch.EventType, obj kind.Object) error {
	if w.format.As != "Table" {
		return w.stream.Send(string(typ), w.shape(w.format, obj))
	}
	list := metav1.ListMeta{ResourceVersion: obj.GetResourceVersion()}
	table := view.Bookmark(w.kind, obj, list)
	if typ != apiwatch.Bookmark {
		table = view.Table(w.kind, []kind.Object{obj}, list, w.includeObject(), w.Server.now())
	}
	if w.columns {
		table.ColumnDefinitions = nil
	}
	w.columns = true
	return w.stream.Send(string(typ), table)
}

// sendBookmark tells the client how far the watch has come; last marks the end of the initial events.
func (w *watcher) sendBookmark(revision uint64, last bool) error {
	w.bookmark = revision
	obj := w.kind.New()
	obj.GetObjectKind().SetGroupVersionKind(w.kind.GVK)
	obj.SetResourceVersion(fmt.Sprint(revision))
	if last {
		obj.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return w.send(apiwatch.Bookmark, obj)
}

// fail ends the stream with an ERROR event, since the status of the response is sent.
func (w *watcher) fail(err error) error {
	status := statusOf(err)
	if errors.Is(err, store.ErrExpired) {
		status.Message = "too old resource version: " + w.opts.ResourceVersion
	}
	if w.stream.Send(string(apiwatch.Error), status) == nil {
		_ = w.stream.Flush()
	}
	return nil
}
