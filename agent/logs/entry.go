package logs

import (
	"bytes"
	"fmt"
	"time"
)

// Stream is one of a container's output streams.
type Stream string

// The streams that a container has.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

const (
	// MaxContent is the most bytes of output in one entry; longer lines are split.
	MaxContent = 16 << 10
	// maxEntry is above every entry's length, its time, stream and tag included.
	maxEntry = MaxContent + 128
)

// entry is one line of a log file.
type entry struct {
	time    time.Time
	stream  Stream
	partial bool // the line goes on in the stream's next entry
	content []byte
}

// appendTo appends the entry as it stands in the file.
func (e entry) appendTo(b []byte) []byte {
	b = e.time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, ' ')
	b = append(b, e.stream...)
	if e.partial {
		b = append(b, " P "...)
	} else {
		b = append(b, " F "...)
	}
	b = append(b, e.content...)
	return append(b, '\n')
}

// parse reads one line of a log file, without its newline. Its content is a part of line.
func parse(line []byte) (entry, error) {
	stamp, rest, ok1 := bytes.Cut(line, []byte{' '})
	stream, rest, ok2 := bytes.Cut(rest, []byte{' '})
	tags, content, ok3 := bytes.Cut(rest, []byte{' '})
	if !ok1 || !ok2 || !ok3 {
		return entry{}, fmt.Errorf("not a log entry: %.60q", line)
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return entry{}, fmt.Errorf("time of a log entry: %w", err)
	}
	return entry{time: at, stream: Stream(stream), partial: bytes.HasPrefix(tags, []byte{'P'}), content: content}, nil
}
