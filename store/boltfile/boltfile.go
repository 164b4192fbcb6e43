package boltfile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long an open waits for another process to let go of the file.
const lockTimeout = time.Second

// ErrDamaged is wrapped by every error about a file that cannot be read as what it should be.
var ErrDamaged = errors.New("the file is damaged")

// Options are covey's settings for every bbolt file: the list of free pages is rebuilt at the start instead of being
// written with every transaction.
func Options() *bbolt.Options {
	return &bbolt.Options{
		Timeout:        lockTimeout,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
		NoStatistics:   true,
	}
}

// Open reads the whole file once to see that it is sound, and opens it for writing. A file that is not there is created.
func Open(path string) (*bbolt.DB, error) {
	if err := Verify(path); err != nil {
		return nil, err
	}
	var db *bbolt.DB
	err := Guard(path, func() (err error) {
		db, err = bbolt.Open(path, 0o600, Options())
		return err
	})
	return db, err
}

// Verify reads every page in use. It is done before bbolt opens the file for writing, because bbolt then scans it in a
// goroutine of its own, where a fault cannot be caught. A missing or empty file is sound.
func Verify(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return Guard(path, func() error {
		options := Options()
		options.ReadOnly = true
		db, err := bbolt.Open(path, 0o600, options)
		if err != nil {
			return err
		}
		walkErr := db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return touch(b) })
		})
		return errors.Join(walkErr, db.Close())
	})
}

// touch reads all keys and values, and with them the pages they lie on.
func touch(b *bbolt.Bucket) error {
	var sum byte
	err := b.ForEach(func(k, v []byte) error {
		for _, part := range [][]byte{k, v} {
			for i := 0; i < len(part); i += 512 {
				sum ^= part[i]
			}
		}
		return nil
	})
	runtime.KeepAlive(&sum) // keeps the compiler from leaving the reading out
	return err
}

// Guard runs fn, which reads a bbolt file, and turns its panics and memory faults into an error that names the file.
func Guard(path string, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v", path, ErrDamaged, p)
		}
	}()
	err = fn()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
