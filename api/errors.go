package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

// retrySeconds is what a client is told to wait when the cluster cannot answer now.
const retrySeconds = 1

var errNoRoute = &apierrors.StatusError{ErrStatus: metav1.Status{
	Status:  metav1.StatusFailure,
	Code:    http.StatusNotFound,
	Reason:  metav1.StatusReasonNotFound,
	Message: "the server could not find the requested resource",
	Details: &metav1.StatusDetails{},
}}

// words is the part of an error that is worded as Kubernetes words it, capital letters included.
type words string

func (w words) Error() string { return string(w) }

func inTheirWords(format string, args ...any) error { return words(fmt.Sprintf(format, args...)) }

// statusOf makes a Status of any error.
func statusOf(err error) *metav1.Status {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		out := status.Status()
		out.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		return &out
	}
	return statusOf(translate(err))
}

// translate words the store's errors as Kubernetes does.
func translate(err error) error {
	switch {
	case errors.Is(err, store.ErrConflict):
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusConflict, Reason: metav1.StatusReasonConflict,
			Message: "the object has been modified; please apply your changes to the latest version and try again",
		}}
	case errors.Is(err, store.ErrExpired):
		return apierrors.NewResourceExpired("The resourceVersion for the provided list or watch is too old.")
	case errors.Is(err, store.ErrFuture):
		return tooLarge()
	case errors.Is(err, store.ErrUnknown):
		// No Retry-After: clients would do it again by themselves, whatever it is.
		return apierrors.NewTimeoutError(err.Error(), 0)
	case errors.Is(err, store.ErrNotLeader):
		return unavailable(err)
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("request did not complete within requested timeout - "+context.DeadlineExceeded.Error(), retrySeconds)
	case errors.Is(err, context.Canceled):
		return unavailable(errors.New("the request was cancelled, or the server is stopping"))
	}
	return apierrors.NewInternalError(err)
}

func unavailable(err error) error {
	status := apierrors.NewServiceUnavailable(fmt.Sprintf("the server is currently unable to handle the request: %v", err))
	status.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retrySeconds}
	return status
}

// tooLarge is the answer to a revision that has not happened yet.
func tooLarge() error {
	err := apierrors.NewTimeoutError("Too large resource version", retrySeconds)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type:    metav1.CauseTypeResourceVersionTooLarge,
		Message: "Too large resource version",
	}}
	return err
}

// hopeless says why a request failed that waited for a leader which there could not be.
func (s *Server) hopeless(err error) error {
	if s.cfg.Hope == nil {
		return nil
	}
	why := context.Cause(s.cfg.Hope())
	for _, sign := range []error{why, store.ErrNotLeader, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, sign) {
			return why
		}
	}
	return nil
}

// fail answers with err as a Status.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if why := s.hopeless(err); why != nil {
		status = statusOf(apierrors.NewServiceUnavailable(why.Error())) // trying again soon would not help
	}
	if status.Code >= http.StatusInternalServerError && r.Context().Err() == nil {
		s.log.Warn("request failed", "method", r.Method, "uri", r.RequestURI, "error", err)
	}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	format, ok := wire.Negotiate(r.Header.Get("Accept"), func(wire.Format) bool { return true })
	if !ok {
		format.Media = wire.JSON
	}
	write(w, r, int(status.Code), format.Media, status)
}
