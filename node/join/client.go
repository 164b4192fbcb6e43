package join

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/store/protocol"
)

// Request is a new node's wish to join.
type Request struct {
	Servers []string // host:port of any nodes of the cluster
	Token   Token
	NodeID  string
	Name    string
	CSR     []byte // that proves the node's key
	Worker  bool   // wanted to be, and CSR be granted
	// Protocol is which protocol versions the new node speaks.
	Protocol protocol.Range
	Log      *slog.Logger
}

const (
	tryTimeout = 40 * time.Second
	firstWait  = 200 * time.Millisecond
	mostWait   = 10 * time.Second
	maxGrant   = 1 << 20
)

// Ask asks one server after the other until one grants the wish, ctx ends, or one refuses for good.
func Ask(ctx context.Context, r Request) (Grant, error) {
	said := map[string]string{} // of each server, so that none is said twice in a row
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		for _, server := range r.Servers {
			grant, err := ask(ctx, r, server)
			if err == nil {
				return grant, nil
			}
			err = fmt.Errorf("join the cluster at %s: %w", server, err)
			var refused refusal
			if errors.As(err, &refused) {
				return Grant{}, err
			}
			if text := err.Error(); text != said[server] && ctx.Err() == nil {
				r.Log.Warn("not in the cluster yet, trying again", "error", err)
				said[server] = text
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return Grant{}, ctx.Err()
		}
	}
}

func ask(ctx context.Context, r Request, server string) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	wish := request{TokenID: r.Token.ID, Secret: r.Token.Secret, NodeID: r.NodeID, Name: r.Name, Protocol: r.Protocol}
	if r.Worker {
		wish.CSR = r.CSR
	} else {
		wish.Proof = r.CSR
	}
	body, err := json.Marshal(wish)
	if err != nil {
		return Grant{}, err
	}
	at := url.URL{Scheme: "https", Host: server, Path: Path} // a zone, as in [fe80::1%eth0]:7443, is written otherwise in a URL
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(body))
	if err != nil {
		return Grant{}, refusal{fmt.Errorf("--join: %w", err)}
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: pinned(r.Token.CA), DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Grant{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxGrant))
	if err != nil {
		return Grant{}, err
	}
	return read(resp.StatusCode, answer)
}

func read(status int, answer []byte) (Grant, error) {
	switch status {
	case http.StatusOK:
	case http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound:
		return Grant{}, refusal{errors.New(strings.TrimSpace(string(answer)))}
	default:
		return Grant{}, errors.New(strings.TrimSpace(string(answer)))
	}
	var grant Grant
	if err := json.Unmarshal(answer, &grant); err != nil {
		return Grant{}, fmt.Errorf("read the answer: %w", err)
	}
	return grant, nil
}

// pinned trusts whoever shows a certificate of the CA that the token names. Before that is proven nothing is sent.
func pinned(ca string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection is stricter: it knows the CA by its fingerprint
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, cert := range cs.PeerCertificates[1:] {
				if identity.Fingerprint(cert.Raw) != ca {
					continue
				}
				roots, between := x509.NewCertPool(), x509.NewCertPool()
				roots.AddCert(cert)
				for _, other := range cs.PeerCertificates[1:] { // a newer CA, if the token's is on its way out
					between.AddCert(other)
				}
				_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
					Roots: roots, Intermediates: between, CurrentTime: cs.PeerCertificates[0].NotAfter,
				})
				return err
			}
			return refusal{errors.New("the server there belongs to another cluster than the token, or its CA was replaced since (covey ca rotate): take a token from that cluster (covey token create), or the address of a node of the token's")}
		},
	}
}
