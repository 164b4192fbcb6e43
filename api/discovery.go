package api

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/wire"
)

// groupVersion is what is served under one path.
type groupVersion struct {
	schema.GroupVersion
	kinds    []*kind.Kind
	reviews  []review
	measured []measured
}

func (g groupVersion) path() string {
	if g.Group == "" {
		return "/api/" + g.Version
	}
	return "/apis/" + g.Group + "/" + g.Version
}

// groupVersions sorts all that is served by group, the core group first.
func groupVersions(kinds []*kind.Kind) []groupVersion {
	found := map[schema.GroupVersion]*groupVersion{}
	at := func(gv schema.GroupVersion) *groupVersion {
		if found[gv] == nil {
			found[gv] = &groupVersion{GroupVersion: gv}
		}
		return found[gv]
	}
	for _, k := range kinds {
		gv := at(k.GVK.GroupVersion())
		gv.kinds = append(gv.kinds, k)
	}
	for _, rv := range reviews {
		gv := at(rv.gvk.GroupVersion())
		gv.reviews = append(gv.reviews, rv)
	}
	for _, m := range measuredKinds(kinds) {
		gv := at(m.kind.GVK.GroupVersion())
		gv.measured = append(gv.measured, m)
	}
	out := make([]groupVersion, 0, len(found))
	for _, gv := range found {
		slices.SortFunc(gv.kinds, func(a, b *kind.Kind) int { return strings.Compare(a.Plural, b.Plural) })
		out = append(out, *gv)
	}
	slices.SortFunc(out, func(a, b groupVersion) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), version.CompareKubeAwareVersionStrings(b.Version, a.Version))
	})
	return out
}

// discoveryRoutes say what is served: all at once (aggregated) or, for older clients, group by group.
func (s *Server) discoveryRoutes(root *mux.Router) {
	root.HandleFunc("/api", s.discover(&metav1.APIVersions{
		TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
	}, aggregated(s.groups, true)))
	groups := groupList(s.groups)
	root.HandleFunc("/apis", s.discover(groups, aggregated(s.groups, false)))
	for i := range groups.Groups {
		group := groups.Groups[i]
		group.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		root.HandleFunc("/apis/"+group.Name, s.discover(&group, nil))
	}
	for _, gv := range s.groups {
		root.HandleFunc(gv.path(), s.discover(resourceList(gv), nil))
	}
	root.HandleFunc("/", s.serveRoot)
	root.HandleFunc(customResources, s.serveNoCustomResources)
	// Clients also ask with a slash at the end.
	for _, path := range []string{"/api/", "/apis/"} {
		root.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
			s.router.ServeHTTP(w, r)
		})
	}
}

// customResources is where kubectl looks before it says that a kind is unknown. Without an answer it complains of that
// instead of the kind.
const customResources = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

func (s *Server) serveNoCustomResources(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || isWatch(r) {
		s.fail(w, r, errNoRoute)
		return
	}
	writeJSON(w, r, metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{Kind: "CustomResourceDefinitionList", APIVersion: "apiextensions.k8s.io/v1"},
		ListMeta: listMeta("1"),
		Items:    []metav1.PartialObjectMetadata{},
	})
}

func (s *Server) serveRoot(w http.ResponseWriter, r *http.Request) {
	paths := metav1.RootPaths{Paths: []string{"/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}}
	for _, gv := range s.groups {
		paths.Paths = append(paths.Paths, gv.path())
	}
	slices.Sort(paths.Paths)
	writeJSON(w, r, paths)
}

// discover serves the plain document, or the aggregated one (nil where there is none) to clients that ask for it.
func (s *Server) discover(plain, aggregate runtime.Object) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.fail(w, r, errNoRoute)
			return
		}
		f, ok := wire.Negotiate(r.Header.Get("Accept"), func(f wire.Format) bool {
			return f.As == "" || aggregate != nil && f.As == "APIGroupDiscoveryList" && f.Group == "apidiscovery.k8s.io" && f.Version == "v2"
		})
		if !ok {
			s.fail(w, r, wire.NotAcceptable())
			return
		}
		w.Header().Set("Vary", "Accept")
		if f.As == "" {
			write(w, r, http.StatusOK, f.Media, plain)
			return
		}
		serveTagged(w, r, f, aggregate)
	}
}

// serveTagged lets a client that has the same document already keep it.
func serveTagged(w http.ResponseWriter, r *http.Request, f wire.Format, doc runtime.Object) {
	var body strings.Builder
	if err := wire.Encode(&body, f.Media, doc); err != nil {
		write(w, r, http.StatusInternalServerError, wire.JSON, statusOf(err))
		return
	}
	sum := sha256.Sum256([]byte(body.String()))
	tag := `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeBytes(w, r, http.StatusOK, f.ContentType(), []byte(body.String()))
}
