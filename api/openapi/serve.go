package openapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/munnerz/goautoneg"
)

const (
	jsonType = "application/json"
	// pbType is the protobuf form of a v2 document; both spellings are in use.
	pbType    = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	pbTypeNew = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
)

// Routes serves the documents on root.
func Routes(root *mux.Router) {
	root.HandleFunc("/openapi/v2", serveV2).Methods(http.MethodGet, http.MethodHead)
	root.HandleFunc("/openapi/v3", serveIndex).Methods(http.MethodGet, http.MethodHead)
	root.HandleFunc("/openapi/v3/{path:.*}", serveV3).Methods(http.MethodGet, http.MethodHead)
}

func serveV2(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	accept := r.Header.Get("Accept")
	for _, clause := range goautoneg.ParseAccept(accept) {
		switch media := clause.Type + "/" + clause.SubType; media {
		case pbType, pbTypeNew:
			serveFile(w, r, "v2.pb.gz", pbTypeNew)
			return
		case jsonType, "application/*", "*/*":
			serveFile(w, r, "v2.json.gz", jsonType)
			return
		}
	}
	if strings.TrimSpace(accept) == "" {
		serveFile(w, r, "v2.json.gz", jsonType)
		return
	}
	w.WriteHeader(http.StatusNotAcceptable)
}

// serveIndex says where each document is. The hash in the address lets a client keep what it has.
func serveIndex(w http.ResponseWriter, _ *http.Request) {
	type location struct {
		ServerRelativeURL string `json:"serverRelativeURL"`
	}
	index := struct {
		Paths map[string]location `json:"paths"`
	}{map[string]location{}}
	for gv, hash := range documents() {
		index.Paths[gv] = location{"/openapi/v3/" + gv + "?hash=" + hash}
	}
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(index) // the client is gone
}

func serveV3(w http.ResponseWriter, r *http.Request) {
	gv := mux.Vars(r)["path"]
	hash, ok := documents()[gv]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if asked := r.URL.Query().Get("hash"); asked != "" {
		if asked != hash {
			http.Redirect(w, r, "/openapi/v3/"+gv+"?hash="+hash, http.StatusMovedPermanently)
			return
		}
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	}
	w.Header().Set("ETag", `"`+hash+`"`)
	if r.Header.Get("If-None-Match") == `"`+hash+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	serveFile(w, r, V3File(gv), jsonType)
}

// serveFile sends an embedded file as it is to a client that takes gzip, unpacked to others.
func serveFile(w http.ResponseWriter, r *http.Request, name, contentType string) {
	content, err := files.ReadFile(name)
	if err == nil && !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		content, err = decompress(content)
	} else {
		w.Header().Set("Content-Encoding", "gzip")
	}
	if err != nil {
		w.Header().Del("Content-Encoding")
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Add("Vary", "Accept-Encoding")
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // the client is gone
	}
}
