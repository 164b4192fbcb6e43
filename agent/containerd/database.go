package containerd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// metadataPlugin keeps containerd's database.
const metadataPlugin = "io.containerd.metadata.v1.bolt"

func databaseFile(root string) string { return filepath.Join(root, metadataPlugin, "meta.db") }

// checkDatabase reads all of containerd's database before containerd does: a damaged one ends the process there. It is
// some 100 KB in size.
func checkDatabase(root string) error {
	file := databaseFile(root)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := walk(file)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("containerd's database %s is in use: is covey running already?", file)
	}
	if err != nil {
		return fmt.Errorf("containerd's database %s is damaged (move it away to begin without images and containers): %w", file, err)
	}
	return nil
}

// walk visits every page. What damage does to a reader, a panic or a fault in mapped memory, becomes an error.
func walk(file string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of a reader; without it Close would wait for ever
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walkBucket(b) })
}

func walkBucket(b *bolt.Bucket) error {
	return b.ForEach(func(key, value []byte) error {
		if value == nil {
			return walkBucket(b.Bucket(key))
		}
		return nil
	})
}
