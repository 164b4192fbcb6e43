package join

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/forward"
	"covey.dev/covey/node/identity"
)

const (
	maxRequest = 16 << 10
	// readTimeout is how long a node may take to say what it wants.
	readTimeout = 10 * time.Second
	// answerTimeout bounds the wait for a leader, without which tokens cannot be checked.
	answerTimeout = 30 * time.Second
)

// Cluster is what the handler asks about the cluster.
type Cluster interface {
	// Admit replaces a Secret by what use makes of it, nil deletes it, the same leaves it alone, and notes the admission that use
	// returns. use gets nil for one that is not there, and those that were noted since the cluster's keys were last replaced; it may be
	// called again, and its error is returned as it is. Without one the node may be a part of the cluster from then on, also if
	// it was removed before.
	Admit(ctx context.Context, namespace, name string, use Use) error
	// CheckName says why a node may not be called name: another one is, and is alive, or is a server, whose name no worker takes.
	CheckName(name, nodeID string, worker bool) error
	// Agreed is the protocol version that every node has to speak.
	Agreed() int
	// Grant is what a new server is handed.
	Grant() (Grant, error)
	// GrantWorker is what a new worker is handed, which asked for a certificate with csr from address; nil is one that is not known.
	GrantWorker(name string, csr []byte, address net.IP) (Grant, error)
}

// Use is what is made of a token.
type Use func(secret *corev1.Secret, noted []Admission) (*corev1.Secret, Admission, error)

// Handler lets nodes join that show a good token.
func Handler(c Cluster, now func() time.Time, log *slog.Logger) http.Handler {
	attempts := newAttempts()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if attempts.tooMany(r.RemoteAddr, now()) {
			http.Error(w, "too many tokens from this address were refused: try again in a minute", http.StatusTooManyRequests)
			return
		}
		if r.Method != http.MethodPost {
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		req, err := readRequest(w, r)
		if err != nil {
			http.Error(w, "the request to join is not understood: "+err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		grant, err := admit(ctx, c, req, provenIP(r), now())
		var refused refusal
		switch {
		case errors.As(err, &refused):
			attempts.refused(r.RemoteAddr, now())
			log.Warn("a node was not let into the cluster", "node", req.Name, "remote", r.RemoteAddr, "error", err)
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		log.Info("a node joins", "node", req.Name, "id", req.NodeID, "remote", r.RemoteAddr)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(grant)
	})
}

// readRequest reads all that a stranger says, who has to say it soon. What it does then may take longer.
func readRequest(w http.ResponseWriter, r *http.Request) (req request, err error) {
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(readTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		_ = conn.SetReadDeadline(time.Time{})
		err = json.Unmarshal(body, &req)
	}
	return req, err
}

// refusal is an error that asking again does not help against.
type refusal struct{ error }

// provenIP is where the request comes from; nil where a worker passed it on, which may say so of any address.
func provenIP(r *http.Request) net.IP {
	if _, ok := forward.From(r.Context()); ok {
		return nil
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return net.ParseIP(host)
}

func admit(ctx context.Context, c Cluster, req request, from net.IP, now time.Time) (Grant, error) {
	proven, err := proves(req)
	if err != nil {
		return Grant{}, refusal{err}
	}
	if req.isWorker() {
		if err := identity.CheckWorkerName(req.Name); err != nil {
			return Grant{}, refusal{err}
		}
	}
	err = c.Admit(ctx, metav1.NamespaceSystem, SecretPrefix+req.TokenID, useFor(c, req, proven, now))
	if errors.As(err, new(refusal)) {
		return Grant{}, err
	}
	if err != nil {
		return Grant{}, fmt.Errorf("use the token: %w", err)
	}
	grant, err := c.Grant()
	if req.isWorker() {
		grant, err = c.GrantWorker(req.Name, req.CSR, from)
	}
	grant.Protocol = c.Agreed()
	return grant, err
}

// useFor is what a request makes of its token. One that proves to be of a node which has had a use of it takes no other.
func useFor(c Cluster, req request, proven bool, now time.Time) Use {
	token := Token{ID: req.TokenID, Secret: req.Secret}
	return func(secret *corev1.Secret, noted []Admission) (*corev1.Secret, Admission, error) {
		admission := Admission{NodeID: req.NodeID, Name: req.Name, TokenID: req.TokenID, Worker: req.isWorker(), Time: now}
		first, had := before(noted, admission)
		again := had && proven
		if !again {
			if err := check(secret, token, req.isWorker(), now); err != nil {
				return nil, Admission{}, refusal{err}
			}
		}
		// Before the token is used up: the node may come again, with another name.
		if err := mayBeCalled(c, noted, admission); err != nil {
			return nil, Admission{}, err
		}
		if err := req.Protocol.OrFirst().Check(c.Agreed()); err != nil {
			return nil, Admission{}, refusal{err}
		}
		if again {
			admission.Time = first
			return secret, admission, nil
		}
		secret, err := spend(secret)
		return secret, admission, err
	}
}

// mayBeCalled is the error of a name that is another node's.
func mayBeCalled(c Cluster, noted []Admission, wish Admission) error {
	if err := c.CheckName(wish.Name, wish.NodeID, wish.Worker); err != nil {
		return refusal{err}
	}
	return nameHeld(noted, wish)
}

// proves reports whether the request proves that it is from the node that it names, which a server of a covey before this does not.
func proves(req request) (bool, error) {
	proof := req.Proof
	if req.isWorker() {
		proof = req.CSR
	}
	if proof == nil {
		return false, nil
	}
	if id, err := identity.RequestID(proof); err != nil || id != req.NodeID {
		return false, errors.Join(errors.New("the node has not proven that it has the key that it names"), err)
	}
	return true, nil
}
