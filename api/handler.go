package api

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/audit"
)

// ServeHTTP answers one request: it logs, recovers, authenticates, waits for the request's turn and routes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began, start := s.now(), time.Now()
	user, known := s.cfg.Authenticate(r)
	about := describe(r)
	rec := &recorder{ResponseWriter: w, now: s.now, long: about.longRunning(), audit: s.audited(w, r, user, about, began)}
	defer func() {
		if cause := recover(); cause != nil {
			s.recovered(rec, r, cause)
		} else {
			rec.audit.Completed(rec.code(), s.now())
		}
		took := time.Since(start)
		s.observe(about, rec, took)
		s.log.Debug("request", "method", r.Method, "uri", r.RequestURI, "user", user.Name,
			"status", rec.status, "duration", took.Round(time.Microsecond))
	}()
	rec.Header().Set("Cache-Control", "no-cache, private")
	r = r.WithContext(withRecord(withUser(r.Context(), user), rec.audit))
	err := admit(user, known, r)
	rec.audit.Judged(err == nil, "")
	if err != nil {
		s.fail(rec, r, err)
		return
	}
	r, leave, err := s.enter(rec, r, user, about)
	if err != nil {
		s.fail(rec, r, err)
		return
	}
	defer leave()
	s.router.ServeHTTP(rec, r)
}

func (s *Server) recovered(w *recorder, r *http.Request, cause any) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		w.audit.Panicked(w.code(), s.now())
		panic(cause) // net/http's own way to drop a connection
	}
	s.log.Error("a request panicked", "method", r.Method, "uri", r.RequestURI, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if w.status == 0 {
		s.fail(w, r, apierrors.NewInternalError(errors.New("the request made the API server panic; its log has the details")))
	}
	w.audit.Panicked(http.StatusInternalServerError, s.now())
}

// recorder remembers the status for the logs. It passes on what a connection can do: streams flush and take it over.
type recorder struct {
	http.ResponseWriter
	status int
	now    func() time.Time
	long   bool // the request is a long-running one
	audit  *audit.Record
}

// answers remembers the status that is sent first.
func (r *recorder) answers(status int) {
	if r.status != 0 {
		return
	}
	r.status = status
	if r.long {
		r.audit.Started(status, r.now())
	}
}

// code is the status that net/http sends when none was set.
func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

func (r *recorder) WriteHeader(status int) {
	r.answers(status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.answers(http.StatusOK)
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.answers(http.StatusSwitchingProtocols)
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
