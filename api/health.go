package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"github.com/gorilla/mux"
	"k8s.io/apimachinery/pkg/version"
)

// healthRoutes are what anyone may ask: the version, and whether the node lives and is ready.
func (s *Server) healthRoutes(root *mux.Router) {
	root.HandleFunc("/version", s.serveVersion)
	root.HandleFunc("/version/", s.serveVersion)
	for _, name := range []string{"livez", "readyz", "healthz"} {
		check := func() error { return nil } // it lives if it answers
		if name != "livez" {
			check = s.ready
		}
		root.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) { answerHealth(w, r, name, check()) })
		root.HandleFunc("/"+name+"/ping", func(w http.ResponseWriter, r *http.Request) { answerHealth(w, r, "ping", nil) })
		root.HandleFunc("/"+name+"/node", func(w http.ResponseWriter, r *http.Request) { answerHealth(w, r, "node", check()) })
	}
}

func (s *Server) ready() error {
	if s.cfg.Ready == nil {
		return nil
	}
	return s.cfg.Ready()
}

// answerHealth says "ok", or with 500 what is missing; ?verbose says it at length.
func answerHealth(w http.ResponseWriter, r *http.Request, name string, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, "[+]ping ok\n[-]node failed: %v\n%s check failed\n", err, name)
	case r.URL.Query().Has("verbose"):
		_, _ = fmt.Fprintf(w, "[+]ping ok\n[+]node ok\n%s check passed\n", name)
	default:
		_, _ = fmt.Fprint(w, "ok")
	}
}

func (s *Server) serveVersion(w http.ResponseWriter, r *http.Request) {
	writeBytes(w, r, http.StatusOK, "application/json", s.version)
}

// versionDocument is the answer of /version.
func versionDocument(covey string) []byte {
	part := strings.SplitN(KubernetesVersion, ".", 3)
	doc, _ := json.MarshalIndent(version.Info{
		Major:        part[0],
		Minor:        part[1],
		GitVersion:   gitVersion(covey),
		GitTreeState: "clean",
		GoVersion:    runtime.Version(),
		Compiler:     runtime.Compiler,
		Platform:     runtime.GOOS + "/" + runtime.GOARCH,
	}, "", "  ")
	return append(doc, '\n')
}
