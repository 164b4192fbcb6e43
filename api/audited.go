package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/api/audit"
)

// auditHeader names a request in the audit log and to its client.
const auditHeader = "Audit-ID"

// maxAuditID bounds what a client may call its request.
const maxAuditID = 64

// audited begins the request's entry in the audit log; nil when none is kept.
func (s *Server) audited(w http.ResponseWriter, r *http.Request, user User, about request, now time.Time) *audit.Record {
	if s.cfg.Audit == nil {
		return nil
	}
	id := r.Header.Get(auditHeader)
	if id == "" || len(id) > maxAuditID {
		id = string(uuid.NewUUID())
	}
	w.Header().Set(auditHeader, id)
	return s.cfg.Audit.Begin(&audit.Request{
		Attributes: audit.Attributes{
			User: user.Name, Groups: user.Groups, Verb: about.verb, Path: r.URL.Path,
			APIGroup: about.group, APIVersion: about.version, Resource: about.resource, Subresource: about.subresource,
			Namespace: about.namespace, Name: about.name,
		},
		ID:        id,
		URI:       r.URL.RequestURI(),
		UserAgent: r.UserAgent(),
		SourceIPs: sourceIPs(r),
		Received:  now,
	})
}

// sourceIPs are the address that the request came from, after those that proxies on its way say it came from.
func sourceIPs(r *http.Request) []string {
	var out []string
	for said := range strings.SplitSeq(r.Header.Get("X-Forwarded-For"), ",") {
		if ip := net.ParseIP(strings.TrimSpace(said)); ip != nil {
			out = append(out, ip.String())
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil && (len(out) == 0 || out[len(out)-1] != host) {
		out = append(out, host)
	}
	return out
}

type recordKey struct{}

func withRecord(ctx context.Context, rec *audit.Record) context.Context {
	if rec == nil {
		return ctx
	}
	return context.WithValue(ctx, recordKey{}, rec)
}

// recordOf is the request's entry in the audit log; nil when none is kept, which its methods take.
func recordOf(r *http.Request) *audit.Record {
	rec, _ := r.Context().Value(recordKey{}).(*audit.Record)
	return rec
}
