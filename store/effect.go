package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"covey.dev/covey/store/protocol"
)

type op byte

const (
	opCreate op = 1
	opPut    op = 2
	opDelete op = 3
)

// effect is one object's change, as it travels in the Raft log.
type effect struct {
	op     op
	key    Key
	expect uint64 // the revision the object must have; 0 for opCreate
	raw    []byte // nil for opDelete
}

// check compares what is stored with what the effect expects.
func (e *effect) check(cur *Record, exists bool) error {
	switch {
	case e.op == opCreate && exists:
		return fmt.Errorf("%w: %s exists", ErrConflict, e.key)
	case e.op == opCreate:
		return nil
	case !exists:
		return fmt.Errorf("%w: %s is gone", ErrConflict, e.key)
	case cur.revision != e.expect:
		return fmt.Errorf("%w: %s is at revision %d, not %d", ErrConflict, e.key, cur.revision, e.expect)
	}
	return nil
}

// A log entry is its format (one byte), the number of effects, the effects, and a CRC-32C of all before it (four bytes, big endian).
// An effect is its op (one byte), key, expected revision and bytes. Numbers are uvarints; key and bytes are preceded by their length.
//
// The format has the number of the protocol version that came with it. In entryFormat2 the key of every effect but the first is how many
// bytes it has in common with the one before it, and the rest: what is written together is mostly of one resource, namespace and owner.
const (
	entryFormat1 = 1
	entryFormat2 = 2
	checksum     = 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errChecksum = errors.New("the checksum does not match")
	errFormat   = errors.New("not in a format that this version of covey knows")
)

// encodeEntry writes what nodes that speak a protocol version can read.
func encodeEntry(effects []effect, version int) []byte {
	format := min(version, entryFormat2)
	size := 1 + binary.MaxVarintLen64 + checksum
	keys := make([]string, len(effects))
	for i := range effects {
		keys[i] = effects[i].key.encode()
		size += 1 + 4*binary.MaxVarintLen64 + len(keys[i]) + len(effects[i].raw)
	}
	b := append(make([]byte, 0, size), byte(format))
	b = binary.AppendUvarint(b, uint64(len(effects)))
	for i := range effects {
		b = append(b, byte(effects[i].op))
		key := keys[i]
		if format >= entryFormat2 && i > 0 {
			shared := commonPrefix(keys[i-1], key)
			b = binary.AppendUvarint(b, uint64(shared))
			key = key[shared:]
		}
		b = binary.AppendUvarint(b, uint64(len(key)))
		b = append(b, key...)
		b = binary.AppendUvarint(b, effects[i].expect)
		b = binary.AppendUvarint(b, uint64(len(effects[i].raw)))
		b = append(b, effects[i].raw...)
	}
	return appendChecksum(b)
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// decodeEntry is the inverse of encodeEntry. The effects do not share memory with b. The error is a *protocol.Mismatch for an entry that a
// newer covey has written than one that speaks these versions.
func decodeEntry(b []byte, spoken protocol.Range) ([]effect, error) {
	b, err := cutChecksum(b)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errFormat
	}
	if err := readable(b[0], entryFormat2, spoken); err != nil {
		return nil, err
	}
	r := reader{b: b[1:], shares: b[0] >= entryFormat2}
	var effects []effect
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		effects = append(effects, r.effect())
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = errFormat
	}
	return effects, r.err
}

func appendChecksum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// cutChecksum returns what comes before the checksum.
func cutChecksum(b []byte) ([]byte, error) {
	n := len(b) - checksum
	if n < 0 || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return nil, errChecksum
	}
	return b[:n], nil
}

// reader takes values off the front of b and keeps the first error.
type reader struct {
	b      []byte
	shares bool   // keys begin as the one before
	key    []byte // the one before
	err    error
}

func (r *reader) effect() effect {
	e := effect{op: op(r.take(1)[0])}
	key, ok := decodeKey(string(r.nextKey()))
	e.key, e.expect = key, r.uvarint()
	if raw := r.bytes(); e.op != opDelete {
		e.raw = append([]byte(nil), raw...)
	}
	if r.err == nil && (!ok || e.op < opCreate || e.op > opDelete) {
		r.err = errFormat
	}
	return e
}

// nextKey is good until the next one.
func (r *reader) nextKey() []byte {
	shared := uint64(0)
	if r.shares && r.key != nil {
		shared = r.uvarint()
	}
	if shared > uint64(len(r.key)) {
		r.err = errFormat
		return nil
	}
	r.key = append(r.key[:shared], r.bytes()...)
	return r.key
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err = errFormat
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) take(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.b)) {
		r.err = errFormat
	}
	if r.err != nil {
		return make([]byte, 1)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}
