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
)

// ServeHTTP answers one request: it logs, recovers, authenticates and routes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.now()
	rec := &recorder{ResponseWriter: w}
	user, known := s.cfg.Authenticate(r)
	defer func() {
		if cause := recover(); cause != nil {
			s.recovered(rec, r, cause)
		}
		s.log.Debug("request", "method", r.Method, "uri", r.RequestURI, "user", user.Name,
			"status", rec.status, "duration", s.now().Sub(began).Round(time.Microsecond))
	}()
	rec.Header().Set("Cache-Control", "no-cache, private")
	if err := admit(user, known, r); err != nil {
		s.fail(rec, r, err)
		return
	}
	r, leave, err := s.enter(rec, r, user, describe(r))
	if err != nil {
		s.fail(rec, r, err)
		return
	}
	defer leave()
	s.router.ServeHTTP(rec, r.WithContext(withUser(r.Context(), user)))
}

func (s *Server) recovered(w *recorder, r *http.Request, cause any) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // net/http's own way to drop a connection
	}
	s.log.Error("a request panicked", "method", r.Method, "uri", r.RequestURI, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if w.status == 0 {
		s.fail(w, r, apierrors.NewInternalError(errors.New("the request made the API server panic; its log has the details")))
	}
}

// recorder remembers the status for the log. It passes on what a connection can do: streams flush and take it over.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.status = http.StatusSwitchingProtocols
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
