package audit

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// Request is what is known of a request when it comes.
type Request struct {
	Attributes
	ID        string
	URI       string
	UserAgent string
	SourceIPs []string
	Received  time.Time
}

// Record is one request's entry in a Log. A nil one keeps nothing. It is safe for concurrent use.
type Record struct {
	log  *Log
	omit []auditv1.Stage
	bare bool // without managed fields

	mu      sync.Mutex
	event   auditv1.Event
	started bool
}

// Begin keeps that a request has come; nil when the policy wants nothing of it. A nil log keeps nothing.
func (l *Log) Begin(r *Request) *Record {
	if l == nil {
		return nil
	}
	d := l.policy.Decide(&r.Attributes)
	if d.Level == auditv1.LevelNone {
		return nil
	}
	rec := &Record{log: l, omit: d.OmitStages, bare: d.OmitManagedFields, event: auditv1.Event{
		TypeMeta:                 metav1.TypeMeta{Kind: "Event", APIVersion: auditv1.SchemeGroupVersion.String()},
		Level:                    d.Level,
		AuditID:                  types.UID(r.ID),
		RequestURI:               r.URI,
		Verb:                     r.Verb,
		User:                     authenticationv1.UserInfo{Username: r.User, Groups: r.Groups},
		SourceIPs:                r.SourceIPs,
		UserAgent:                r.UserAgent,
		RequestReceivedTimestamp: metav1.NewMicroTime(r.Received),
	}}
	if r.Resource != "" {
		rec.event.ObjectRef = &auditv1.ObjectReference{
			Resource: r.Resource, Namespace: r.Namespace, Name: r.Name,
			APIGroup: r.APIGroup, APIVersion: r.APIVersion, Subresource: r.Subresource,
		}
	}
	rec.stage(auditv1.StageRequestReceived, r.Received)
	return rec
}

// stage keeps the event as it is now. rec.mu is held, or nobody else knows rec yet.
func (rec *Record) stage(s auditv1.Stage, at time.Time) {
	if slices.Contains(rec.omit, s) {
		return
	}
	rec.event.Stage, rec.event.StageTimestamp = s, metav1.NewMicroTime(at)
	rec.log.keep(&rec.event)
}

// Judged keeps whether the request was let in.
func (rec *Record) Judged(allowed bool, reason string) {
	if rec == nil {
		return
	}
	decision := map[bool]string{true: "allow", false: "forbid"}[allowed]
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.event.Annotations = map[string]string{"authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": reason}
}

// Requested keeps which object the body is, and from level Request on the body too.
func (rec *Record) Requested(obj runtime.Object) {
	if rec == nil {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if m, err := meta.Accessor(obj); err == nil && rec.event.ObjectRef != nil {
		ref := rec.event.ObjectRef
		if ref.Name == "" {
			ref.Name = m.GetName()
		}
		ref.UID, ref.ResourceVersion = m.GetUID(), m.GetResourceVersion()
	}
	if rec.event.Level != auditv1.LevelMetadata {
		rec.event.RequestObject = rec.body(obj)
	}
}

// Patched keeps the body of a patch, in JSON, from level Request on.
func (rec *Record) Patched(body []byte) {
	if rec == nil || rec.event.Level == auditv1.LevelMetadata || !json.Valid(body) {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.event.RequestObject = &runtime.Unknown{Raw: slices.Clone(body), ContentType: runtime.ContentTypeJSON}
}

// Answered keeps the body of the answer at level RequestResponse, and always what a Status says that it is.
func (rec *Record) Answered(obj runtime.Object) {
	if rec == nil {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if status, ok := obj.(*metav1.Status); ok {
		kept := *status
		kept.TypeMeta, kept.Details = metav1.TypeMeta{}, nil
		rec.event.ResponseStatus = &kept
	}
	if rec.event.Level == auditv1.LevelRequestResponse {
		rec.event.ResponseObject = rec.body(obj)
	}
}

func (rec *Record) body(obj runtime.Object) *runtime.Unknown {
	if rec.bare {
		obj = obj.DeepCopyObject()
		withoutManagedFields(obj)
	}
	content, err := json.Marshal(obj)
	if err != nil {
		return nil
	}
	return &runtime.Unknown{Raw: content, ContentType: runtime.ContentTypeJSON}
}

func withoutManagedFields(obj runtime.Object) {
	if meta.IsListType(obj) {
		_ = meta.EachListItem(obj, func(item runtime.Object) error { withoutManagedFields(item); return nil })
		return
	}
	if m, err := meta.Accessor(obj); err == nil {
		m.SetManagedFields(nil)
	}
}

// Started keeps that a long-running request has begun to be answered. Only the first call counts.
func (rec *Record) Started(code int, at time.Time) {
	if rec == nil {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.started {
		return
	}
	rec.started = true
	rec.coded(code)
	rec.stage(auditv1.StageResponseStarted, at)
}

// Completed keeps that the request is over.
func (rec *Record) Completed(code int, at time.Time) {
	rec.end(auditv1.StageResponseComplete, code, at)
}

// Panicked keeps that the request ended in a panic.
func (rec *Record) Panicked(code int, at time.Time) { rec.end(auditv1.StagePanic, code, at) }

func (rec *Record) end(s auditv1.Stage, code int, at time.Time) {
	if rec == nil {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.coded(code)
	rec.stage(s, at)
}

func (rec *Record) coded(code int) {
	if rec.event.ResponseStatus == nil {
		rec.event.ResponseStatus = &metav1.Status{}
	}
	rec.event.ResponseStatus.Code = int32(code)
}
