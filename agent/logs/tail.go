package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// openTail opens the file that holds the log's n-th line from the end, at that line. It reads from the end, and no more
// than needed. With fewer lines it is the oldest file's beginning.
func openTail(path string, stream Stream, n int64) (*os.File, error) {
	t := tail{stream: stream, wanted: max(n, 0)}
	var last *os.File
	for i := 0; ; i++ {
		f, err := os.Open(rotated(path, i))
		if err != nil && last != nil {
			return last, nil // older files are gone: all there is
		}
		if err != nil {
			return nil, err
		}
		if last != nil {
			last.Close()
		}
		last = f
		start, found, err := t.search(f)
		if err != nil {
			f.Close()
			return nil, err
		}
		if _, err := f.Seek(start, io.SeekStart); err != nil {
			f.Close()
			return nil, err
		}
		if found {
			return f, nil
		}
	}
}

// tail counts lines backwards over the files of a log.
type tail struct {
	stream Stream
	wanted int64
	seen   int64 // line ends and, at the very end, a begun line
	any    bool  // whether an entry of the stream was met
}

// before counts an entry, met going backwards, and says whether it lies before the wanted lines.
func (t *tail) before(line []byte) bool {
	e, err := parse(line)
	if err != nil || (t.stream != "" && t.stream != e.stream) {
		return false
	}
	if !e.partial || !t.any {
		t.seen++
	}
	t.any = true
	return t.seen > t.wanted
}

// search goes backwards through f. Found is the offset after the last entry that lies before the wanted lines.
func (t *tail) search(f *os.File) (start int64, found bool, err error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	const step = 64 << 10
	var block []byte // bytes from offset `from` to the end of the last entry not looked at
	for from := end; from > 0; {
		size := min(step, from)
		grown := make([]byte, size, size+int64(len(block)))
		if _, err := f.ReadAt(grown, from-size); err != nil {
			return 0, false, fmt.Errorf("read log from its end: %w", err)
		}
		from -= size
		block = append(grown, block...)
		for {
			cut := bytes.LastIndexByte(bytes.TrimSuffix(block, []byte{'\n'}), '\n')
			if cut < 0 && from > 0 {
				break
			}
			if t.before(bytes.TrimSuffix(block[cut+1:], []byte{'\n'})) {
				return from + int64(len(block)), true, nil
			}
			if block = block[:cut+1]; len(block) == 0 {
				break
			}
		}
	}
	return 0, false, nil
}
