package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"

	"covey.dev/covey/api/audit"
	"covey.dev/covey/api/flow"
	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/managed"
	"covey.dev/covey/api/metrics"
	"covey.dev/covey/api/openapi"
)

// KubernetesVersion is the version of the API that is spoken.
const KubernetesVersion = "1.37.2"

// Nodes finds what answers for a node: its logs, exec, attach, port-forward and images.
type Nodes interface {
	// Handler serves the kubelet's paths (/containerLogs/..., /exec/...) and /images for the node of that name.
	Handler(node string) (http.Handler, error)
}

// Config is what a Server is made of. Store, Kinds and Nodes are required.
type Config struct {
	Store  Store
	Kinds  []*kind.Kind
	Scheme *runtime.Scheme // has the types of Kinds; New refuses a kind that it does not know
	Nodes  Nodes
	// Version is covey's own, shown as build metadata in /version.
	Version string
	// Clock tells the time that objects carry; it is time.Now when nil.
	Clock  func() time.Time
	Logger *slog.Logger
	// Ready says why the node is not ready yet; nil means it is.
	Ready func() error
	// Hope returns a context that ends, with the reason, when there can be no leader to wait for. It may be nil.
	Hope func() context.Context
	// Audit keeps who asked for what; nil for nobody.
	Audit *audit.Log
	// Limits are DefaultLimits when zero.
	Limits Limits
	// Authenticate says who sent a request; false for nobody in particular. It is ClientCertificate when nil.
	Authenticate func(*http.Request) (User, bool)
	// Usage is what the use of nodes is read by; one of its own when nil.
	Usage *metrics.Collector
	// Stale is what a read is answered with as a warning that nobody can be asked for acknowledged writes, so that it shows what was
	// known last; nil, or nothing, has it wait instead.
	Stale func() (warning string)
	// Partial says that Store is a part of the cluster's state: no read is without that warning, and lists are of no revision that
	// their clients could go on from elsewhere.
	Partial bool
	// Observe is told of each request that was answered; it may be nil.
	Observe func(Observed)
}

// Server is the API. It is an http.Handler; watches end with the request's context.
type Server struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	router    *mux.Router
	managers  *managed.Managers
	groups    []groupVersion
	version   []byte
	collector *metrics.Collector
	short     *flow.Queue
	long      *flow.Queue
	alone     atomic.Bool // the last read found nobody to ask
}

// New builds the routes and the discovery documents.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Logger, now: cfg.Clock}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Authenticate == nil {
		s.cfg.Authenticate = ClientCertificate
	}
	if s.cfg.Limits == (Limits{}) {
		s.cfg.Limits = DefaultLimits()
	}
	s.short, s.long = flow.New(s.cfg.Limits.Short), flow.New(s.cfg.Limits.Long)
	for _, k := range cfg.Kinds {
		if cfg.Scheme != nil && !cfg.Scheme.Recognizes(k.GVK) {
			return nil, fmt.Errorf("kind %s is not in the scheme", k.GVK)
		}
	}
	s.managers = &managed.Managers{Converter: func() (managedfields.TypeConverter, error) { return openapi.TypeConverter() }}
	if s.collector = cfg.Usage; s.collector == nil {
		s.collector = metrics.New(s.handlerOf)
	}
	s.groups = groupVersions(cfg.Kinds)
	s.version = versionDocument(cfg.Version)
	s.router = s.routes()
	return s, nil
}

var notBuildMetadata = regexp.MustCompile(`[^0-9A-Za-z.-]+`)

// gitVersion names the API's version first, which is what clients compare, then covey's.
func gitVersion(covey string) string {
	v := "v" + KubernetesVersion + "+covey"
	if own := notBuildMetadata.ReplaceAllString(covey, "-"); own != "" {
		v += "." + own
	}
	return v
}
