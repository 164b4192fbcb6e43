package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Event is one event of a watch. Bookmarks are not handed out.
type Event struct {
	Type   watch.EventType
	Object json.RawMessage
}

const (
	// retryEvery is how long a watch that ended is left alone before it is taken up again.
	retryEvery = time.Second
	// retryFor is how long a server that went away is waited for: covey is back long before, with the same state.
	retryFor = 30 * time.Second
)

// Watch calls event for each change that r's list sees after the revision, until event returns an error, which is
// returned, or ctx ends. It goes on where it was when the stream ends or the server is away for a moment. An error that
// IsExpired says that the changes since the revision are no longer known: list anew.
func (c *Client) Watch(ctx context.Context, r Request, revision string, event func(Event) error) error {
	began := time.Now()
	for {
		err := c.watchOnce(ctx, r, &revision, &began, event)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !isBroken(err), time.Since(began) > retryFor:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryEvery):
		}
	}
}

// brokenError is the end of a stream or of a connection, after which a watch may be taken up again.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

func isBroken(err error) bool {
	var broken brokenError
	var failed *url.Error
	return errors.As(err, &broken) || errors.As(err, &failed) || apierrors.IsServiceUnavailable(err)
}

// watchOnce follows one stream to its end and moves the revision along, and the time at which the server was last there.
func (c *Client) watchOnce(ctx context.Context, r Request, revision *string, seen *time.Time, event func(Event) error) error {
	query := url.Values{}
	for name, values := range r.Query {
		query[name] = values
	}
	query.Del("limit")
	query.Set("watch", "true")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", *revision)
	r.Query = query
	resp, err := c.Stream(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	stream := json.NewDecoder(resp.Body)
	for {
		var e metav1.WatchEvent
		err := stream.Decode(&e)
		*seen = time.Now()
		if err != nil {
			return brokenError{fmt.Errorf("read the watch of %s: %w", r.Path, err)}
		}
		if e.Type == string(watch.Error) {
			return watchError(e.Object.Raw)
		}
		var meta metav1.PartialObjectMetadata
		if err := json.Unmarshal(e.Object.Raw, &meta); err != nil {
			return fmt.Errorf("decode an event of %s: %w", r.Path, err)
		}
		if meta.ResourceVersion == "" {
			meta.ResourceVersion = rowRevision(e.Object.Raw)
		}
		if meta.ResourceVersion != "" {
			*revision = meta.ResourceVersion
		}
		if e.Type == string(watch.Bookmark) {
			continue
		}
		if err := event(Event{Type: watch.EventType(e.Type), Object: e.Object.Raw}); err != nil {
			return err
		}
	}
}

// rowRevision is the revision of the object in a Table's last row, for servers that give the table itself none.
func rowRevision(raw []byte) string {
	var table struct {
		Rows []struct {
			Object metav1.PartialObjectMetadata `json:"object"`
		} `json:"rows"`
	}
	if json.Unmarshal(raw, &table) != nil || len(table.Rows) == 0 {
		return ""
	}
	return table.Rows[len(table.Rows)-1].Object.ResourceVersion
}

func watchError(raw []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(raw, &status); err != nil {
		return fmt.Errorf("decode an error of the watch: %w", err)
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// IsExpired reports that a watch cannot go on from its revision.
func IsExpired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }
