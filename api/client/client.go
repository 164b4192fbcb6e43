package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// Media types of requests.
const (
	JSON           = "application/json"
	ApplyPatch     = "application/apply-patch+yaml"
	MergePatch     = "application/merge-patch+json"
	StrategicPatch = "application/strategic-merge-patch+json"
	JSONPatch      = "application/json-patch+json"
	Table          = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
)

// Client sends requests to one API server. It is safe for concurrent use.
type Client struct {
	// Namespace is meant where none is named.
	Namespace string

	cfg  *rest.Config
	base *url.URL
	http *http.Client
	// warn is told what the server warns of, without the word "Warning".
	warn func(string)
}

// New connects nothing yet. warn may be nil.
func New(cfg *Config, warn func(string)) (*Client, error) {
	rc := rest.CopyConfig(cfg.REST)
	base, _, err := rest.DefaultServerUrlFor(rc)
	if err != nil {
		return nil, fmt.Errorf("read the server's address: %w", err)
	}
	web, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, fmt.Errorf("set up the connection to %s: %w", base, err)
	}
	if warn == nil {
		warn = func(string) {}
	}
	return &Client{Namespace: cfg.Namespace, cfg: rc, base: base, http: web, warn: warn}, nil
}

// Server is the address of the API, for messages.
func (c *Client) Server() string { return c.base.String() }

// CA is the certificate of the cluster's CA in PEM, as the kubeconfig has it.
func (c *Client) CA() ([]byte, error) {
	data := c.cfg.CAData
	if len(data) == 0 && c.cfg.CAFile != "" {
		var err error
		if data, err = os.ReadFile(c.cfg.CAFile); err != nil {
			return nil, fmt.Errorf("read the cluster's CA: %w", err)
		}
	}
	if block, _ := pem.Decode(data); block == nil {
		return nil, errors.New("the kubeconfig does not have the cluster's CA")
	}
	return data, nil
}

// CAFingerprint is the SHA-256, in hex, of that certificate.
func (c *Client) CAFingerprint() (string, error) {
	data, err := c.CA()
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(data)
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// Request is one call of the API.
type Request struct {
	Method string // "": GET
	Path   string // below the server's address, unescaped
	Query  url.Values
	Body   io.Reader
	// ContentType of the body, and what to Accept; "" is JSON.
	ContentType, Accept string
}

// Stream sends a request and hands out the response as it comes in. An answer that is no success is an error; the caller
// closes the body of any other.
func (c *Client) Stream(ctx context.Context, r Request) (*http.Response, error) {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.url(r.Path, r.Query).String(), r.Body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if r.Body != nil {
		req.Header.Set("Content-Type", orJSON(r.ContentType))
	}
	req.Header.Set("Accept", orJSON(r.Accept))
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	c.showWarnings(resp.Header)
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, failure(resp, r)
	}
	return resp, nil
}

// Do sends a request and returns the status code and the whole body of a success.
func (c *Client) Do(ctx context.Context, r Request) (int, []byte, error) {
	resp, err := c.Stream(ctx, r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		if ctx.Err() != nil {
			return 0, nil, context.Cause(ctx)
		}
		return 0, nil, fmt.Errorf("read the answer to %s %s: %w", r.Method, r.Path, err)
	}
	return resp.StatusCode, body, nil
}

// Into sends a request and decodes the JSON of the answer into out.
func (c *Client) Into(ctx context.Context, r Request, out any) error {
	_, body, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", r.Path, err)
	}
	return nil
}

// Patch sends a patch of the given media type and decodes the object as it is then into out, which may be nil.
func (c *Client) Patch(ctx context.Context, path, mediaType string, query url.Values, patch []byte, out any) error {
	if out == nil {
		out = new(json.RawMessage)
	}
	return c.Into(ctx, Request{
		Method: http.MethodPatch, Path: path, Query: query, Body: bytes.NewReader(patch), ContentType: mediaType,
	}, out)
}

func (c *Client) url(path string, query url.Values) *url.URL {
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	return &u
}

func (c *Client) showWarnings(h http.Header) {
	warnings, _ := utilnet.ParseWarningHeaders(h.Values("Warning")) // what cannot be read cannot be shown
	for _, w := range warnings {
		if w.Code == 299 && w.Text != "" {
			c.warn(w.Text)
		}
	}
}

func orJSON(mediaType string) string {
	if mediaType == "" {
		return JSON
	}
	return mediaType
}
