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
	for {
		f, err := os.Open(rotated(r.path, r.oldestIndex()))
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(r.path); err == nil {
				continue // renamed meanwhile
			}
		}
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil {
			if i, found := r.indexOf(info); found && i == r.oldestIndex() {
				return f, nil
			}
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// oldestIndex is 0 when there is no file.
func (r *reader) oldestIndex() int {
	oldest := 0
	for i, missing := 1, 0; missing < 2; i++ { // one is missing while the files are renamed
		info, err := os.Stat(rotated(r.path, i))
		if err != nil {
			missing++
			continue
		}
		missing = 0
		if info.ModTime().Before(r.opts.Since) {
			break
		}
		oldest = i
	}
	return oldest
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
	for {
		i, found := r.indexOf(mine)
		if found && i == 0 {
			return r.rewind(mine)
		}
		if !found { // rotated away altogether: the oldest came after it
			f, err := r.oldest()
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			return true, r.turnTo(ctx, f)
		}
		f, err := r.successor(mine, i)
		if err != nil {
			return false, err
		}
		if f != nil {
			return true, r.turnTo(ctx, f)
		}
		if _, err := os.Stat(r.path); errors.Is(err, fs.ErrNotExist) {
			return false, nil // the next file is not made yet: its making is the next change
		}
	}
}

// successor opens the file after mine, which was the i-th. It is nil when the files were renamed meanwhile.
func (r *reader) successor(mine fs.FileInfo, i int) (*os.File, error) {
	f, err := os.Open(rotated(r.path, i-1))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		// In this order: a renaming between the two makes them look further apart, never nearer.
		at, _ := r.indexOf(info)
		if before, _ := r.indexOf(mine); before == at+1 {
			return f, nil
		}
	}
	f.Close()
	return nil, err
}

// indexOf finds a file among those of the log.
func (r *reader) indexOf(file fs.FileInfo) (i int, found bool) {
	for missing := 0; missing < 2; i++ { // one is missing while the files are renamed
		info, err := os.Stat(rotated(r.path, i))
		if err != nil {
			missing++
			continue
		}
		missing = 0
		if os.SameFile(file, info) {
			return i, true
		}
	}
	return 0, false
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
