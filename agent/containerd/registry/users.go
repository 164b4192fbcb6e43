package registry

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"covey.dev/covey/agent"
)

// ForUsers serves what users push and pull: images, indexes and artifacts. Who they are was found out before. What is pushed to this
// node lies here; names and tags are the cluster's, so each node serves all, and fetches from the others what it does not have.
func (g *Registry) ForUsers() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(g.InPushed(r.Context()))
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		if err := g.forUsers(w, r); err != nil {
			g.refuse(w, r, err)
		}
	})
}

func (g *Registry) forUsers(w http.ResponseWriter, r *http.Request) error {
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/v2":
		_, _ = io.WriteString(w, "{}")
		return nil
	case "/v2/_catalog":
		return g.catalog(w, r)
	}
	asked, ok := parse(r.URL.Path)
	if !ok {
		return &failure{http.StatusNotFound, "NAME_UNKNOWN", "no such path"}
	}
	repository, err := repositoryName(asked.name)
	if err != nil {
		return err
	}
	serve := g.serves(asked.kind, r.Method)
	if serve == nil {
		return &failure{http.StatusMethodNotAllowed, "UNSUPPORTED", r.Method + " of " + asked.kind + " is not served"}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		g.pushing.RLock()
		defer g.pushing.RUnlock()
	}
	return serve(w, r, target{request: asked, repository: repository})
}

// target is what a user's request is about.
type target struct {
	request
	repository string // in full: covey.local/team/app
}

type serve func(w http.ResponseWriter, r *http.Request, t target) error

func (g *Registry) serves(kind, method string) serve {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return map[string]map[string]serve{
		"manifests": {http.MethodGet: g.getManifest, http.MethodPut: g.putManifest, http.MethodDelete: g.deleteManifest},
		"blobs":     {http.MethodGet: g.getBlob, http.MethodDelete: g.deleteBlob},
		"uploads": {
			http.MethodPost: g.startUpload, http.MethodGet: g.uploadState, http.MethodPatch: g.continueUpload,
			http.MethodPut: g.finishUpload, http.MethodDelete: g.cancelUpload,
		},
		"tags":      {http.MethodGet: g.listTags},
		"referrers": {http.MethodGet: g.listReferrers},
	}[kind][method]
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// repositoryName is a repository's name in full: one without a registry's name is of the cluster's own.
func repositoryName(name string) (string, error) {
	invalid := &failure{http.StatusBadRequest, "NAME_INVALID", fmt.Sprintf("%q is no name of a repository", name)}
	if !nameForm.MatchString(name) || len(name) > 255 {
		return "", invalid
	}
	if first, _, nested := strings.Cut(name, "/"); !nested || !strings.Contains(first, ".") {
		name = agent.LocalRegistry + "/" + name
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", invalid
	}
	return named.Name(), nil
}

// userName is a repository's name as users write it behind a node's address.
func userName(repository string) string {
	return strings.TrimPrefix(repository, agent.LocalRegistry+"/")
}

// sha256 reads the digest of a request; containerd keeps no others than SHA-256.
func sha256(text string) (digest.Digest, error) {
	d, err := digest.Parse(text)
	if err != nil || d.Algorithm() != digest.SHA256 {
		return "", &failure{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("%q is not a SHA-256 digest, sha256:...", text)}
	}
	return d, nil
}

// getBlob serves a blob that is here, and with GET also one that another node has.
func (g *Registry) getBlob(w http.ResponseWriter, r *http.Request, t target) error {
	d, err := sha256(t.id)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead { // by which those who push find out what they need not: it counts whether it was pushed here
		_, err = g.Content.Info(r.Context(), d)
	}
	if err == nil {
		err = g.send(w, r, "blobs", d)
	}
	if errdefs.IsNotFound(err) && r.Method == http.MethodGet {
		var manifests map[string]agent.Manifest
		if manifests, err = g.Repositories.Repository(r.Context(), t.repository); err != nil {
			return err
		}
		var of []string
		for _, m := range manifests {
			of = append(of, m.Digest)
		}
		slices.Sort(of)
		err = g.sendFromOthers(w, r, t, d, slices.Compact(of)...)
	}
	if errdefs.IsNotFound(err) {
		return &failure{http.StatusNotFound, "BLOB_UNKNOWN", fmt.Sprintf("blob %s is not on this node, nor on another that can be reached", d)}
	}
	return err
}

// deleteBlob takes a blob from what was pushed. Images that pods of this node use keep their parts.
func (g *Registry) deleteBlob(w http.ResponseWriter, r *http.Request, t target) error {
	d, err := sha256(t.id)
	if err != nil {
		return err
	}
	err = g.Content.Delete(r.Context(), d)
	if errdefs.IsNotFound(err) {
		return &failure{http.StatusNotFound, "BLOB_UNKNOWN", fmt.Sprintf("blob %s is not on this node", d)}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// sendFromOthers answers with content that another node has, which has one of some images.
func (g *Registry) sendFromOthers(w http.ResponseWriter, r *http.Request, t target, d digest.Digest, images ...string) error {
	unknown := fmt.Errorf("%s: %w", d, errdefs.ErrNotFound)
	if g.Holders == nil {
		return unknown
	}
	asked := map[string]bool{}
	for _, image := range images {
		for _, node := range g.Holders.Holders(image) {
			if asked[node] {
				continue
			}
			asked[node] = true
			if sent, err := g.passOn(w, r, node, t, d); sent || err != nil {
				return err
			}
		}
	}
	return unknown
}

// passOn answers with what another node answers, if it has the content.
func (g *Registry) passOn(w http.ResponseWriter, r *http.Request, node string, t target, d digest.Digest) (sent bool, err error) {
	domain, path, _ := strings.Cut(t.repository, "/")
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "https://"+node+"/v2/"+path+"/"+t.kind+"/"+d.String()+"?ns="+domain, nil)
	if err != nil {
		return false, err
	}
	if part := r.Header.Get("Range"); part != "" {
		req.Header.Set("Range", part)
	}
	resp, err := g.Holders.RoundTrip(req)
	if err != nil {
		g.Logger.Debug("a node was not reached for content", "node", node, "digest", d, "error", err)
		return false, r.Context().Err()
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return false, nil
	}
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", HeaderDigest} {
		if value := resp.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(resp.StatusCode)
	if r.Method == http.MethodHead {
		return true, nil
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // so that the client sees that it is not whole
	}
	return true, nil
}
