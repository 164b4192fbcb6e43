package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/agent/logs"
)

// logs answers with a container's output.
func (h *handler) logs(w http.ResponseWriter, r *http.Request) error {
	opts, previous, err := readOptions(r.URL.Query(), time.Now())
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	v := mux.Vars(r)
	c, err := h.pods.Logged(r.Context(), v["namespace"], v["pod"], v["container"], previous)
	if err != nil {
		return err
	}
	opts.Ended = c.Ended
	w.Header().Set("Content-Type", "text/plain")
	out := &flushWriter{ResponseWriter: w, flush: opts.Follow}
	if opts.Follow {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	}
	err = logs.Read(r.Context(), c.LogPath, opts, out)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, context.Canceled):
		return nil
	case out.written || opts.Follow:
		h.log.Debug("a log was cut short", "pod", v["namespace"]+"/"+v["pod"], "error", err)
		return nil
	}
	return err
}

// maxSeconds is the longest time that time.Duration holds, some 292 years.
const maxSeconds = int64(math.MaxInt64 / time.Second)

func readOptions(q url.Values, now time.Time) (opts logs.ReadOptions, previous bool, err error) {
	opts = logs.ReadOptions{Follow: q.Get("follow") == "true", Timestamps: q.Get("timestamps") == "true"}
	if opts.TailLines, err = number(q, "tailLines"); err != nil {
		return opts, false, err
	}
	if opts.LimitBytes, err = number(q, "limitBytes"); err != nil {
		return opts, false, err
	}
	seconds, err := number(q, "sinceSeconds")
	if err != nil {
		return opts, false, err
	}
	if seconds != nil {
		opts.Since = now.Add(-time.Duration(min(*seconds, maxSeconds)) * time.Second)
	}
	if since := q.Get("sinceTime"); since != "" {
		if opts.Since, err = time.Parse(time.RFC3339Nano, since); err != nil {
			return opts, false, fmt.Errorf("sinceTime: %w", err)
		}
	}
	switch q.Get("stream") {
	case "Stdout":
		opts.Stream = logs.Stdout
	case "Stderr":
		opts.Stream = logs.Stderr
	}
	return opts, q.Get("previous") == "true", nil
}

func number(q url.Values, name string) (*int64, error) {
	if q.Get(name) == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%s: %q is not a number of 0 or more", name, q.Get(name))
	}
	return &n, nil
}

// flushWriter sends what is written at once, for those who follow.
type flushWriter struct {
	http.ResponseWriter
	flush, written bool
}

func (w *flushWriter) Write(p []byte) (int, error) {
	w.written = w.written || len(p) > 0
	n, err := w.ResponseWriter.Write(p)
	if err == nil && w.flush {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return n, err
}
