package api

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"k8s.io/apimachinery/pkg/runtime"

	"covey.dev/covey/api/wire"
)

// gzipFrom is the size in bytes from which a response is compressed for a client that can read it: below, the processor
// time is worth more than the bytes.
const gzipFrom = 128 << 10

// write sends obj, or the error that encoding it gave.
func write(w http.ResponseWriter, r *http.Request, code int, media string, obj runtime.Object) {
	recordOf(r).Answered(obj)
	var body bytes.Buffer
	if err := wire.Encode(&body, media, obj); err != nil {
		code, media = http.StatusNotAcceptable, wire.JSON
		body.Reset()
		_ = wire.Encode(&body, media, statusOf(wire.NotAcceptable()))
	}
	writeBytes(w, r, code, media, body.Bytes())
}

func writeBytes(w http.ResponseWriter, r *http.Request, code int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	if len(body) >= gzipFrom && acceptsGzip(r) && !sameMachine(r) {
		body = compress(body)
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Add("Vary", "Accept-Encoding")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone, and nobody else would want to know
	}
}

func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if name == "gzip" {
			return true
		}
	}
	return false
}

// sameMachine says that the client runs on this machine, so that there is no network to spare.
func sameMachine(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if remote.Addr().Unmap().IsLoopback() {
		return true
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap() == remote.Addr().Unmap()
}

// compressors are kept because each has most of a megabyte of tables.
var compressors = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
	return z
}}

func compress(body []byte) []byte {
	var out bytes.Buffer
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(&out)
	_, _ = z.Write(body) // a bytes.Buffer takes all
	_ = z.Close()
	return out.Bytes()
}
