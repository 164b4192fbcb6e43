package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// file is a file that is rotated by its size: audit.log is the newest, audit.log.1 the one before.
type file struct {
	path     string
	maxBytes int64
	f        *os.File
	size     int64
}

func openFile(path string, maxBytes int64) (*file, error) {
	if maxBytes <= 0 {
		maxBytes = DefaultMaxBytes
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	out := &file{path: path, maxBytes: maxBytes}
	return out, out.open()
}

func (f *file) open() (err error) {
	if f.f, err = os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	return nil
}

// Write appends a whole line, or nothing of it.
func (f *file) Write(line []byte) (int, error) {
	if f.f != nil && f.size > 0 && f.size+int64(len(line)) > f.maxBytes {
		_ = f.f.Close()
		f.f = nil
		f.rotate()
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			f.f = nil
			return 0, err
		}
	}
	n, err := f.f.Write(line)
	if err != nil && n > 0 {
		err = errors.Join(err, f.f.Truncate(f.size))
		return 0, err
	}
	f.size += int64(n)
	return n, err
}

// rotate makes place for a new file. What fails is tried again with the next line.
func (f *file) rotate() {
	for i := keptFiles - 1; i > 0; i-- {
		from := f.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", f.path, i-1)
		}
		_ = os.Rename(from, fmt.Sprintf("%s.%d", f.path, i))
	}
}

// Close closes the file.
func (f *file) Close() error {
	if f.f == nil {
		return nil
	}
	return f.f.Close()
}
