package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/flow"
)

const (
	// requestTimeout bounds every request that is not a long-running one, unless it asks for less with ?timeout=.
	requestTimeout = time.Minute
	// hopelessTimeout is for what would wait for a leader that cannot be elected.
	hopelessTimeout = 2 * time.Second
	// transferTimeout is how long after that the client may take to read the answer.
	transferTimeout = 30 * time.Second
)

// Limits bound how many requests are worked on at a time. Others wait, and what finds no place to wait is told to come
// again (429).
type Limits struct {
	Short flow.Limits // requests that are answered and over
	// Long are the long-running ones: watches, logs, exec, attach, port-forward, proxied requests. They never wait.
	Long flow.Limits
}

// DefaultLimits are for a node of any size: waiting costs little, and Raft writes what comes together in one go.
func DefaultLimits() Limits {
	return Limits{
		Short: flow.Limits{Seats: 128, SeatsPerClient: 96, Waiting: 4096, WaitingPerClient: 1024},
		Long:  flow.Limits{Seats: 8192, SeatsPerClient: 4096},
	}
}

// enter waits for the request's turn, and gives it its deadlines. What is returned is to be called at its end.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, user User, q request) (*http.Request, func(), error) {
	if isPublic(r.URL.Path) {
		return r, func() {}, nil // who asks whether the server lives must not hear that it is busy
	}
	if q.longRunning() {
		leave, err := s.long.Enter(r.Context(), clientName(r, user))
		return r, leave, refusal(err)
	}
	timeout, err := timeoutOf(r)
	if err != nil {
		return r, nil, err
	}
	ctx, cancel := s.whileHopeful(r.Context(), timeout)
	leave, err := s.short.Enter(ctx, clientName(r, user))
	if err != nil {
		cancel()
		return r, nil, refusal(err)
	}
	// A client that sends or reads slowly must not keep its seat. Where the connection knows no deadlines there are none.
	control := http.NewResponseController(w)
	if r.Body != http.NoBody {
		_ = control.SetReadDeadline(time.Now().Add(timeout))
	}
	_ = control.SetWriteDeadline(time.Now().Add(timeout + transferTimeout))
	return r.WithContext(ctx), func() {
		cancel()
		if r.ProtoMajor == 1 { // in HTTP/2 they are those of the request, and setting them costs a turn of the connection's loop
			_ = control.SetReadDeadline(time.Time{})
			_ = control.SetWriteDeadline(time.Time{})
		}
		leave()
	}, nil
}

// whileHopeful returns a context that ends after timeout, or when there can be no leader.
func (s *Server) whileHopeful(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if s.cfg.Hope == nil {
		return context.WithTimeout(ctx, timeout)
	}
	hope := s.cfg.Hope()
	if hope.Err() != nil {
		return context.WithTimeoutCause(ctx, min(timeout, hopelessTimeout), context.Cause(hope))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	ctx, despair := context.WithCancelCause(ctx)
	stop := context.AfterFunc(hope, func() { despair(context.Cause(hope)) })
	return ctx, func() {
		stop()
		cancel()
		despair(nil)
	}
}

func refusal(err error) error {
	if errors.Is(err, flow.ErrFull) {
		return apierrors.NewTooManyRequests("too many requests, please try again later", retrySeconds)
	}
	return err
}

// clientName is whose share a request is counted in: the user's, at one address.
func clientName(r *http.Request, user User) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return user.Name + "\n" + host
}

// timeoutOf is how long the request may take: requestTimeout, or less as it asks.
func timeoutOf(r *http.Request) (time.Duration, error) {
	asked := r.URL.Query().Get("timeout")
	if asked == "" {
		return requestTimeout, nil
	}
	timeout, err := time.ParseDuration(asked)
	if err != nil || timeout < 0 {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL: %q is no duration such as 30s", asked))
	}
	if timeout == 0 || timeout > requestTimeout {
		return requestTimeout, nil
	}
	return timeout, nil
}
