package store

import (
	"bytes"
	"strconv"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Where the parts of an object are in its protobuf form: an envelope that names the type, in it the message, which begins
// with the metadata.
const (
	envelopeRaw         protowire.Number = 2
	objectMeta          protowire.Number = 1
	metaResourceVersion protowire.Number = 6 // ObjectMeta.resourceVersion
)

var envelopeMagic = []byte("k8s\x00")

// AppendMessage appends the object's protobuf message, with its resourceVersion, to b: what Object's Marshal gives, without decoding
// the object. It returns false, and b as it was, for an object that is not stored as protobuf.
func (r *Record) AppendMessage(b []byte) ([]byte, bool) {
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	stored, err := decompress(r.raw, scratch)
	if err != nil {
		return b, false
	}
	envelope, found := bytes.CutPrefix(stored, envelopeMagic)
	if !found {
		return b, false
	}
	message, _, _, ok := field(envelope, envelopeRaw)
	if !ok {
		return b, false
	}
	meta, before, after, ok := field(message, objectMeta)
	if !ok {
		return b, false
	}
	_, head, tail, ok := field(meta, metaResourceVersion)
	if !ok {
		return b, false
	}
	var digits [20]byte
	revision := strconv.AppendUint(digits[:0], r.revision, 10)
	b = append(b, before...)
	b = protowire.AppendTag(b, objectMeta, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(head)+1+protowire.SizeBytes(len(revision))+len(tail)))
	b = append(b, head...)
	b = protowire.AppendTag(b, metaResourceVersion, protowire.BytesType)
	b = protowire.AppendBytes(b, revision)
	b = append(b, tail...)
	return append(b, after...), true
}

// MessageSize is about how long the object's message is, in bytes, and seldom less.
func (r *Record) MessageSize() int { return decompressedSize(r.raw) + 24 }

// field finds the first field of a message that has the number and is of bytes, and what comes before and after it.
func field(message []byte, number protowire.Number) (value, before, after []byte, ok bool) {
	for at := 0; at < len(message); {
		n, typ, size := protowire.ConsumeTag(message[at:])
		if size < 0 {
			return nil, nil, nil, false
		}
		if n == number && typ == protowire.BytesType {
			value, length := protowire.ConsumeBytes(message[at+size:])
			if length < 0 {
				return nil, nil, nil, false
			}
			return value, message[:at], message[at+size+length:], true
		}
		length := protowire.ConsumeFieldValue(n, typ, message[at+size:])
		if length < 0 {
			return nil, nil, nil, false
		}
		at += size + length
	}
	return nil, nil, nil, false
}

// scratches are for what is needed of an object only for a moment.
var scratches = sync.Pool{New: func() any { return new([]byte) }}
