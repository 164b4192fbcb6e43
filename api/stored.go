package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/wire"
	"covey.dev/covey/store"
)

// asStored says that what is answered is what is stored, for a client that speaks protobuf: then objects are not decoded, which would
// be most of the work.
func (c *call) asStored(f wire.Format) bool {
	return f.Media == wire.Protobuf && f.As == "" && c.kind.Stored == nil && recordOf(c.r) == nil
}

// respondRecord answers with the object of a record.
func (c *call) respondRecord(code int, rec *store.Record) error {
	f, err := c.format(false)
	if err != nil {
		return err
	}
	if c.asStored(f) {
		if doc, ok := rec.AppendMessage(wire.NewDocument(rec.MessageSize())); ok {
			c.sendWarnings()
			writeBytes(c.w, c.r, code, f.Media, wire.Document(doc).Finish(c.kind.GVK))
			return nil
		}
	}
	return c.respond(code, c.kind.Read(rec.Object()))
}

// respondRecords answers with a list of the objects of records.
func (c *call) respondRecords(code int, recs []*store.Record, list metav1.ListMeta) error {
	f, err := c.format(true)
	if err != nil {
		return err
	}
	if c.asStored(f) {
		if doc, ok := listDocument(recs, list); ok {
			c.sendWarnings()
			writeBytes(c.w, c.r, code, f.Media, doc.Finish(c.kind.List()))
			return nil
		}
	}
	return c.respondList(code, c.objects(recs), list)
}

func listDocument(recs []*store.Record, list metav1.ListMeta) (doc wire.Document, ok bool) {
	const frame = 8 // bytes around each item
	size := list.Size() + frame
	for _, rec := range recs {
		size += rec.MessageSize() + frame
	}
	doc, err := wire.NewDocument(size).List(list)
	if err != nil {
		return nil, false
	}
	var message []byte
	for _, rec := range recs {
		if message, ok = rec.AppendMessage(message[:0]); !ok {
			return nil, false
		}
		doc = doc.Item(message)
	}
	return doc, true
}

func (c *call) objects(recs []*store.Record) []kind.Object {
	objs := make([]kind.Object, len(recs))
	for i, rec := range recs {
		objs[i] = c.kind.Read(rec.Object())
	}
	return objs
}
