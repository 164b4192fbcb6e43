package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// The stream of a snapshot is a header (the format's version in one byte, the revision in eight), the records in key order, and
// an empty key with a CRC-32C (four bytes) of all before it. A record is its key, its revision and its bytes; key and
// bytes are preceded by their length. Lengths and the record's revision are uvarints, fixed numbers are big endian.
const (
	streamFormat = 1
	// maxStreamed bounds what a length in a stream may claim, in bytes. Update refuses entries above it.
	maxStreamed = 64 << 20
)

// writeStream writes the whole snapshot.
func (v *Snapshot) writeStream(w io.Writer) error {
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	header := binary.BigEndian.AppendUint64([]byte{streamFormat}, v.revision)
	if _, err := out.Write(header); err != nil {
		return err
	}
	var buf []byte
	it := v.tree.Root().Iterator()
	for key, r, ok := it.Next(); ok; key, r, ok = it.Next() {
		buf = binary.AppendUvarint(buf[:0], uint64(len(key)))
		buf = append(buf, key...)
		buf = binary.AppendUvarint(buf, r.revision)
		buf = binary.AppendUvarint(buf, uint64(len(r.raw)))
		buf = append(buf, r.raw...)
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
	if err := out.WriteByte(0); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// readStreamRevision reads a stream's header.
func readStreamRevision(r io.Reader, c *codec) (uint64, error) {
	var header [9]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, err
	}
	if err := readable(header[0], streamFormat, c.spoken); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(header[1:]), nil
}

// readStream reads what writeStream wrote, to its end. The error is a *protocol.Mismatch where the state is of a cluster that speaks what
// this covey does not.
func readStream(r io.Reader, c *codec) (*Snapshot, error) {
	in := &summing{r: bufio.NewReaderSize(r, 64<<10), sum: crc32.New(castagnoli)}
	revision, err := readStreamRevision(in, c)
	if err != nil {
		return nil, fmt.Errorf("read snapshot header: %w", err)
	}
	txn := iradix.New[*Record]().Txn()
	for {
		rec, err := in.record(c)
		if err != nil {
			return nil, fmt.Errorf("read snapshot: %w", err)
		}
		if rec == nil {
			break
		}
		txn.Insert([]byte(rec.key.encode()), rec)
	}
	want := in.sum.Sum32()
	var got [checksum]byte
	if _, err := io.ReadFull(in.r, got[:]); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if binary.BigEndian.Uint32(got[:]) != want {
		return nil, fmt.Errorf("read snapshot: %w", errChecksum)
	}
	v := &Snapshot{revision: revision, tree: txn.CommitOnly()}
	return v, c.checkAgreed(v)
}

// summing reads and sums up what it has read.
type summing struct {
	r   *bufio.Reader
	sum hash.Hash32
}

func (s *summing) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	return n, err
}

func (s *summing) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.sum.Write([]byte{b})
	}
	return b, err
}

// record returns nil at the end.
func (s *summing) record(c *codec) (*Record, error) {
	keyBytes, err := s.bytes()
	if err != nil || len(keyBytes) == 0 {
		return nil, err
	}
	key, ok := decodeKey(string(keyBytes))
	if !ok {
		return nil, errFormat
	}
	revision, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, noEOF(err)
	}
	raw, err := s.bytes()
	if err != nil {
		return nil, err
	}
	return &Record{key: key, revision: revision, raw: raw, codec: c}, nil
}

func (s *summing) bytes() ([]byte, error) {
	n, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, noEOF(err)
	}
	if n > maxStreamed {
		return nil, errFormat
	}
	b := make([]byte, n)
	_, err = io.ReadFull(s, b)
	return b, noEOF(err)
}

// noEOF makes a stream that ends too early a failure wherever it ends.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
