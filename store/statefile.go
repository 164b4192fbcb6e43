package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
	"go.etcd.io/bbolt"

	"covey.dev/covey/store/boltfile"
)

// stateFile is state.db: the state at one revision, written behind the log. It is a copy that can be made again from the
// log and its snapshot.
//
// The bucket "records" has, for each key of the tree, the record's revision (eight bytes, big endian), its bytes, and a
// CRC-32C of both (four bytes). The bucket "meta" has "format" (one byte) and "revision" (eight bytes).
type stateFile struct {
	path string
	db   *bbolt.DB
}

const stateFormat = 1

var (
	bucketRecords = []byte("records")
	bucketMeta    = []byte("meta")
	keyFormat     = []byte("format")
	keyRevision   = []byte("revision")
)

// openStateFile also reads the state that the file holds.
func openStateFile(path string, c *codec) (*stateFile, *Snapshot, error) {
	db, err := boltfile.Open(path)
	if err != nil {
		return nil, nil, err
	}
	f := &stateFile{path: path, db: db}
	var state *Snapshot
	err = boltfile.Guard(path, func() (err error) {
		if err := f.initialize(); err != nil {
			return err
		}
		state, err = f.read(c)
		return err
	})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return f, state, nil
}

// initialize makes a new file's buckets; an old file it does not write to.
func (f *stateFile) initialize() error {
	isNew := false
	err := f.db.View(func(tx *bbolt.Tx) error {
		isNew = tx.Bucket(bucketMeta) == nil
		return nil
	})
	if err != nil || !isNew {
		return err
	}
	return f.db.Update(createBuckets)
}

func createBuckets(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucket(bucketMeta)
	if err != nil {
		return err
	}
	if err := meta.Put(keyFormat, []byte{stateFormat}); err != nil {
		return err
	}
	if err := putRevision(tx, 0); err != nil {
		return err
	}
	_, err = tx.CreateBucket(bucketRecords)
	return err
}

func (f *stateFile) read(c *codec) (*Snapshot, error) {
	txn := iradix.New[*Record]().Txn()
	var revision uint64
	err := f.db.View(func(tx *bbolt.Tx) error {
		meta, records := tx.Bucket(bucketMeta), tx.Bucket(bucketRecords)
		if meta == nil || records == nil {
			return fmt.Errorf("%w: a bucket is missing", boltfile.ErrDamaged)
		}
		if format := meta.Get(keyFormat); len(format) != 1 {
			return errFormat
		} else if err := readable(format[0], stateFormat, c.spoken); err != nil {
			return err
		}
		stored := meta.Get(keyRevision)
		if len(stored) != 8 {
			return fmt.Errorf("%w: no revision", boltfile.ErrDamaged)
		}
		revision = binary.BigEndian.Uint64(stored)
		return records.ForEach(func(k, v []byte) error {
			rec, err := decodeRecord(k, v, c)
			if err != nil {
				return fmt.Errorf("%w: record %q: %w", boltfile.ErrDamaged, k, err)
			}
			txn.Insert([]byte(rec.key.encode()), rec)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	v := &Snapshot{revision: revision, tree: txn.CommitOnly()}
	return v, c.checkAgreed(v)
}

// write brings the file from the revision it is at to a newer one. A nil record was deleted.
func (f *stateFile) write(changes map[string]*Record, revision uint64) error {
	err := f.db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket(bucketRecords)
		for _, key := range slices.Sorted(maps.Keys(changes)) { // bbolt is kindest to sorted keys
			var err error
			r := changes[key]
			if r == nil {
				err = records.Delete([]byte(key))
			} else {
				err = records.Put([]byte(key), encodeRecord(r))
			}
			if err != nil {
				return err
			}
		}
		return putRevision(tx, revision)
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

// replace makes the file hold v and nothing else.
func (f *stateFile) replace(v *Snapshot) error {
	err := f.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(bucketRecords); err != nil {
			return err
		}
		records, err := tx.CreateBucket(bucketRecords)
		if err != nil {
			return err
		}
		records.FillPercent = 0.9 // the keys come in order
		it := v.tree.Root().Iterator()
		for key, r, ok := it.Next(); ok; key, r, ok = it.Next() {
			if err := records.Put(key, encodeRecord(r)); err != nil {
				return err
			}
		}
		return putRevision(tx, v.revision)
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

func (f *stateFile) close() error {
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", f.path, err)
	}
	return nil
}

func putRevision(tx *bbolt.Tx, revision uint64) error {
	return tx.Bucket(bucketMeta).Put(keyRevision, binary.BigEndian.AppendUint64(nil, revision))
}

func encodeRecord(r *Record) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(r.raw)+checksum), r.revision)
	return appendChecksum(append(b, r.raw...))
}

// decodeRecord copies what it needs: k and v are only valid within a bbolt transaction.
func decodeRecord(k, v []byte, c *codec) (*Record, error) {
	key, ok := decodeKey(string(k))
	if !ok {
		return nil, errFormat
	}
	v, err := cutChecksum(v)
	if err != nil {
		return nil, err
	}
	if len(v) < 8 {
		return nil, errFormat
	}
	raw := append([]byte(nil), v[8:]...)
	return &Record{key: key, revision: binary.BigEndian.Uint64(v), raw: raw, codec: c}, nil
}
