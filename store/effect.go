package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// A log entry is the format's version (one byte), the number of effects, the effects, and a CRC-32C of all before it
// (four bytes, big endian). An effect is its op (one byte), key, expected revision and bytes. Numbers are uvarints; key
// and bytes are preceded by their length.
const (
	entryFormat = 1
	checksum    = 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errChecksum = errors.New("the checksum does not match")
	errFormat   = errors.New("not in a format that this version of covey knows")
)

func encodeEntry(effects []effect) []byte {
	size := 1 + binary.MaxVarintLen64 + checksum
	keys := make([]string, len(effects))
	for i := range effects {
		keys[i] = effects[i].key.encode()
		size += 1 + 3*binary.MaxVarintLen64 + len(keys[i]) + len(effects[i].raw)
	}
	b := append(make([]byte, 0, size), entryFormat)
	b = binary.AppendUvarint(b, uint64(len(effects)))
	for i := range effects {
		b = append(b, byte(effects[i].op))
		b = binary.AppendUvarint(b, uint64(len(keys[i])))
		b = append(b, keys[i]...)
		b = binary.AppendUvarint(b, effects[i].expect)
		b = binary.AppendUvarint(b, uint64(len(effects[i].raw)))
		b = append(b, effects[i].raw...)
	}
	return appendChecksum(b)
}

// decodeEntry is the inverse of encodeEntry. The effects do not share memory with b.
func decodeEntry(b []byte) ([]effect, error) {
	b, err := cutChecksum(b)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] != entryFormat {
		return nil, errFormat
	}
	r := reader{b[1:], nil}
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
	b   []byte
	err error
}

func (r *reader) effect() effect {
	e := effect{op: op(r.take(1)[0])}
	key, ok := decodeKey(string(r.bytes()))
	e.key, e.expect = key, r.uvarint()
	if raw := r.bytes(); e.op != opDelete {
		e.raw = append([]byte(nil), raw...)
	}
	if r.err == nil && (!ok || e.op < opCreate || e.op > opDelete) {
		r.err = errFormat
	}
	return e
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
