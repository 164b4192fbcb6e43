package containerd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// metadataPlugin keeps containerd's database.
const metadataPlugin = "io.containerd.metadata.v1.bolt"

func databaseFile(root string) string { return filepath.Join(root, metadataPlugin, "meta.db") }

// snapshotters are the folders of those that covey uses. Each has a database of its own, which goes with containerd's.
var snapshotters = []string{"io.containerd.snapshotter.v1.overlayfs", "io.containerd.snapshotter.v1.native"}

// damagedError says that a database is not one that can be read.
type damagedError struct {
	file string
	err  error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("containerd's database %s is damaged: %v", e.file, e.err)
}

func (e *damagedError) Unwrap() error { return e.err }

// checkDatabases reads all of containerd's databases before containerd does: a damaged one ends the process there. They are
// some 100 KB in size. A damagedError says that one has to be made anew.
func checkDatabases(root string) error {
	main := databaseFile(root)
	if err := checkDatabase(main); err != nil {
		return err
	}
	if _, err := os.Stat(namesFile(root)); err == nil {
		if _, err := os.Stat(main); errors.Is(err, os.ErrNotExist) {
			return &damagedError{main, errors.New("it is not there, and images are")}
		}
	}
	for _, name := range snapshotters {
		if err := checkDatabase(filepath.Join(root, name, "metadata.db")); err != nil {
			return err
		}
	}
	return nil
}

func checkDatabase(file string) error {
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() == 0 {
		return &damagedError{file, errors.New("it is empty")}
	}
	err = walk(file)
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("containerd's database %s is in use: is covey running already?", file)
	case errors.As(err, &errno) && errno != syscall.EIO:
		return fmt.Errorf("read containerd's database %s: %w", file, err)
	}
	return &damagedError{file, err}
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
