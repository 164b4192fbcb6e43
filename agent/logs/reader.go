package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// ReadOptions select what Read gives.
type ReadOptions struct {
	Follow     bool      // go on with what is written later
	TailLines  *int64    // only so many of the newest lines; nil: all
	Since      time.Time // only what was written at or after it; zero: all
	LimitBytes *int64    // stop after so many bytes of output
	Timestamps bool      // put the time before each line
	Stream     Stream    // "": both
	// Ended is closed once the container has ended: following stops after all that is there was read. Nil: never.
	Ended <-chan struct{}
}

// errLimit ends a read at LimitBytes.
var errLimit = errors.New("limit reached")

// Read writes the container output kept in the log at path, and its rotated files, to w. An absent log is fs.ErrNotExist
// when not following; when following, Read waits for it, but its folder must exist. The context's end is an error.
func Read(ctx context.Context, path string, opts ReadOptions, w io.Writer) error {
	r := &reader{path: path, opts: opts, out: newPrinter(w, opts)}
	defer r.closeFile()
	var changes *watcher
	if opts.Follow {
		var err error
		// Before the first look at the files, so that nothing falls between.
		if changes, err = watch(path); err != nil {
			return fmt.Errorf("follow log %s: %w", path, err)
		}
		defer changes.close()
	}
	err := r.begin()
	if errors.Is(err, fs.ErrNotExist) && opts.Follow {
		err = nil
	}
	if err == nil {
		err = r.readAll(ctx, changes)
	}
	if errors.Is(err, errLimit) {
		err = nil
	}
	return err
}

// reader reads forward through the files of one log.
type reader struct {
	path string
	opts ReadOptions
	out  *printer

	file *os.File
	in   *bufio.Reader
	torn []byte // the beginning of an entry whose end is not written yet
}

// begin opens the file to start with, at the entry to start with.
func (r *reader) begin() error {
	if r.opts.TailLines != nil {
		f, err := openTail(r.path, r.opts.Stream, *r.opts.TailLines)
		if err != nil {
			return err
		}
		r.use(f)
		return nil
	}
	f, err := r.oldest()
	if err != nil {
		return err
	}
	r.use(f)
	return nil
}

// oldest opens the oldest file that may hold something from opts.Since on.
func (r *reader) oldest() (*os.File, error) {
	oldest := 0
	for i := 1; ; i++ {
		info, err := os.Stat(rotated(r.path, i))
		if err != nil || info.ModTime().Before(r.opts.Since) {
			break
		}
		oldest = i
	}
	return os.Open(rotated(r.path, oldest))
}

func (r *reader) use(f *os.File) {
	r.closeFile()
	r.file, r.in, r.torn = f, bufio.NewReaderSize(f, 64<<10), nil
}

func (r *reader) closeFile() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// readAll reads to the end of the newest file, and when following (changes is not nil) on from there.
func (r *reader) readAll(ctx context.Context, changes *watcher) error {
	for {
		ended := changes.ended(r.opts.Ended)
		if err := r.drain(ctx); err != nil {
			return err
		}
		moved, err := r.next(ctx)
		if err != nil {
			return err
		}
		if moved {
			continue
		}
		if ended {
			return nil
		}
		if err := changes.wait(ctx, r.opts.Ended); err != nil {
			return err
		}
	}
}

// drain prints what the open file still holds.
func (r *reader) drain(ctx context.Context) error {
	if r.file == nil {
		return nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := r.in.ReadSlice('\n')
		if err != nil {
			if len(r.torn)+len(line) > 2*maxEntry {
				r.torn = nil // not a log of ours: pass over it
			} else {
				r.torn = append(r.torn, line...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if errors.Is(err, io.EOF) {
				return r.out.flush()
			}
			return fmt.Errorf("read log: %w", err)
		}
		if len(r.torn) > 0 {
			line = append(r.torn, line...)
			r.torn = nil
		}
		if err := r.out.print(bytes.TrimSuffix(line, []byte{'\n'})); err != nil {
			return err
		}
	}
}

// next goes on to the file that was begun after the open one. It is false when the open one is the newest.
func (r *reader) next(ctx context.Context) (bool, error) {
	if r.file == nil {
		f, err := r.oldest()
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		r.use(f)
		return true, nil
	}
	mine, err := r.file.Stat()
	if err != nil {
		return false, err
	}
	for i := 0; ; i++ {
		info, err := os.Stat(rotated(r.path, i))
		switch {
		case err == nil && !os.SameFile(mine, info):
			continue
		case err == nil && i == 0:
			return r.rewind(info)
		case err != nil && i == 0:
			return false, nil // between two renames, or removed: the next change tells
		}
		// Rotated to i, or (err != nil) away altogether: what came after it is one younger.
		f, openErr := os.Open(rotated(r.path, i-1))
		if errors.Is(openErr, fs.ErrNotExist) {
			return false, nil
		}
		if openErr != nil {
			return false, openErr
		}
		return true, r.turnTo(ctx, f)
	}
}

// turnTo goes on with f, after what was written to the open file between its end and its renaming.
func (r *reader) turnTo(ctx context.Context, f *os.File) error {
	err := r.drain(ctx)
	r.use(f)
	return err
}

// rewind starts again at the beginning of the newest file when it was cut (a log of one file only).
func (r *reader) rewind(info fs.FileInfo) (bool, error) {
	at, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil || info.Size() >= at {
		return false, err
	}
	_, err = r.file.Seek(0, io.SeekStart)
	r.in.Reset(r.file)
	r.torn = nil
	return true, err
}
