package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

func digestOf(m agent.Manifest) digest.Digest { return digest.Digest(m.Digest) }

func (g *Registry) listTags(w http.ResponseWriter, r *http.Request, t target) error {
	manifests, err := g.Repositories.Repository(r.Context(), t.repository)
	if err != nil {
		return err
	}
	if len(manifests) == 0 {
		return &failure{http.StatusNotFound, "NAME_UNKNOWN", fmt.Sprintf("nothing was pushed as %s", t.name)}
	}
	tags := []string{}
	for id := range manifests {
		if !strings.Contains(id, ":") {
			tags = append(tags, id)
		}
	}
	slices.Sort(tags)
	tags, err = page(w, r, tags)
	if err != nil {
		return err
	}
	return answer(w, "application/json", map[string]any{"name": t.name, "tags": tags})
}

// catalog lists the repositories, as docker's registry does.
func (g *Registry) catalog(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return &failure{http.StatusMethodNotAllowed, "UNSUPPORTED", "the catalog is only read"}
	}
	names, err := g.Repositories.RepositoryNames(r.Context())
	if err != nil {
		return err
	}
	list := []string{}
	for _, name := range names {
		list = append(list, userName(name))
	}
	slices.Sort(list)
	if list, err = page(w, r, list); err != nil {
		return err
	}
	return answer(w, "application/json", map[string]any{"repositories": list})
}

// page cuts a sorted list to what is asked for by n and last, and says where it goes on.
func page(w http.ResponseWriter, r *http.Request, list []string) ([]string, error) {
	query := r.URL.Query()
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(list, last)
		if found {
			i++
		}
		list = list[i:]
	}
	text := query.Get("n")
	if text == "" {
		return list, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, &failure{http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", fmt.Sprintf("n=%q is not a number of entries", text)}
	}
	if n < len(list) {
		list = list[:n]
		if n > 0 {
			next := url.Values{"n": {text}, "last": {list[n-1]}}
			w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, r.URL.Path, next.Encode()))
		}
	}
	return list, nil
}

// listReferrers lists the manifests that say something of another: signatures, lists of contents.
func (g *Registry) listReferrers(w http.ResponseWriter, r *http.Request, t target) error {
	subject, err := sha256(t.id)
	if err != nil {
		return err
	}
	manifests, err := g.Repositories.Repository(r.Context(), t.repository)
	if err != nil {
		return err
	}
	wanted := r.URL.Query().Get("artifactType")
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	seen := map[string]bool{}
	for _, m := range manifests {
		if m.Subject != subject.String() || wanted != "" && m.ArtifactType != wanted || seen[m.Digest] {
			continue
		}
		seen[m.Digest] = true
		desc := descriptor(m)
		desc.ArtifactType, desc.Annotations = m.ArtifactType, m.Annotations
		index.Manifests = append(index.Manifests, desc)
	}
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	return answer(w, ocispec.MediaTypeImageIndex, index)
}

func answer(w http.ResponseWriter, contentType string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(text)
	return nil
}
