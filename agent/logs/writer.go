package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// WriterOptions say how a log is kept.
type WriterOptions struct {
	MaxBytes int64 // of one file; 0: 10 MiB
	MaxFiles int   // with the one written to; 0: 5
	Now      func() time.Time
	// Warn is told once when output begins to be dropped because it cannot be written, and once when that is over.
	Warn func(error)
}

// Writer writes the streams of one container to one rotated log. It never holds the container up: what cannot be
// written (the disk is full) is dropped. It is safe for concurrent use.
type Writer struct {
	path string
	opts WriterOptions

	mu       sync.Mutex
	file     *os.File
	size     int64
	dropping bool
	buf      []byte
}

// NewWriter returns a writer that appends to the log at path; its folder is made with the first line.
func NewWriter(path string, opts WriterOptions) *Writer {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 10 << 20
	}
	if opts.MaxFiles <= 0 {
		opts.MaxFiles = 5
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Warn == nil {
		opts.Warn = func(error) {}
	}
	return &Writer{path: path, opts: opts}
}

// Copy writes all that r gives to the log until r ends; a last line without an end is written as it is.
func (w *Writer) Copy(stream Stream, r io.Reader) error {
	buf := make([]byte, MaxContent)
	held := 0 // bytes in buf that begin an unfinished line
	for {
		n, err := r.Read(buf[held:])
		rest := w.lines(stream, buf[:held+n], err != nil)
		if len(rest) == len(buf) { // a line longer than an entry
			rest = w.lines(stream, rest, true)
		}
		held = copy(buf, rest)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
	}
}

// lines writes the whole lines in data, and when all is set also what follows them, and returns what was not written.
func (w *Writer) lines(stream Stream, data []byte, all bool) (rest []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.opts.Now()
	w.buf = w.buf[:0]
	if len(data) > 0 {
		_ = w.open() // for the size; flush tries again and reports
	}
	for len(data) > 0 {
		line, after, whole := bytes.Cut(data, []byte{'\n'})
		if !whole && !all {
			break
		}
		w.add(entry{time: now, stream: stream, partial: !whole, content: line})
		data = after
	}
	w.flush()
	return data
}

// add puts an entry into the buffer, after rotating the file when it is full.
func (w *Writer) add(e entry) {
	before := len(w.buf)
	w.buf = e.appendTo(w.buf)
	if w.size+int64(len(w.buf)) <= w.opts.MaxBytes || w.size+int64(before) == 0 {
		return
	}
	last := bytes.Clone(w.buf[before:])
	w.buf = w.buf[:before]
	w.flush()
	w.rotate()
	w.buf = append(w.buf[:0], last...)
}

// flush writes the buffer, or drops it. An entry is never left half written.
func (w *Writer) flush() {
	if len(w.buf) == 0 {
		return
	}
	err := w.open()
	if err == nil {
		err = w.append()
	}
	w.buf = w.buf[:0]
	w.report(err)
}

func (w *Writer) append() error {
	n, err := w.file.Write(w.buf)
	if err == nil {
		w.size += int64(n)
		return nil
	}
	if n > 0 {
		err = errors.Join(err, w.file.Truncate(w.size))
	}
	return err
}

// report tells of a change between writing and dropping.
func (w *Writer) report(err error) {
	if (err != nil) == w.dropping {
		return
	}
	w.dropping = err != nil
	if err != nil {
		w.opts.Warn(fmt.Errorf("container output is being dropped: %w", err))
	} else {
		w.opts.Warn(fmt.Errorf("container output is written again to %s", w.path))
	}
}

// open opens the log for appending. After a torn entry (the machine lost power) it begins a new line.
func (w *Writer) open() error {
	if w.file != nil {
		return nil
	}
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(w.path), 0o755); err != nil {
			return err
		}
		f, err = os.OpenFile(w.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	w.file, w.size = f, info.Size()
	if w.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, w.size-1); err == nil && last[0] != '\n' {
		if n, err := f.Write([]byte{'\n'}); err == nil {
			w.size += int64(n)
		}
	}
	return nil
}

// rotate moves NAME to NAME.1, NAME.1 to NAME.2 and so on, and drops the last.
func (w *Writer) rotate() {
	w.close()
	for i := w.opts.MaxFiles - 1; i > 0; i-- {
		// One that is not there yet is the usual case; when renaming fails for another reason the file just grows.
		_ = os.Rename(rotated(w.path, i-1), rotated(w.path, i))
	}
	if w.opts.MaxFiles == 1 {
		_ = os.Truncate(w.path, 0)
	}
}

// rotated names the log's i-th file, counted from the one that is written to.
func rotated(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}

func (w *Writer) close() {
	if w.file != nil {
		w.file.Close()
		w.file, w.size = nil, 0
	}
}

// Close closes the file. What was written stays.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close()
	return nil
}
