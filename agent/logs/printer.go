package logs

import (
	"bufio"
	"io"
	"time"
)

// printer turns entries into the output that was asked for.
type printer struct {
	out     *bufio.Writer
	opts    ReadOptions
	left    int64           // bytes still allowed; negative: any number
	midLine map[Stream]bool // streams whose last entry was a piece of a line
	stamp   []byte
}

func newPrinter(w io.Writer, opts ReadOptions) *printer {
	p := &printer{out: bufio.NewWriterSize(w, 32<<10), opts: opts, left: -1, midLine: map[Stream]bool{}}
	if opts.LimitBytes != nil {
		p.left = max(*opts.LimitBytes, 0)
	}
	return p
}

// print writes one line of a log file; what is not an entry (torn by a power cut) is passed over.
func (p *printer) print(line []byte) error {
	e, err := parse(line)
	if err != nil || e.time.Before(p.opts.Since) || (p.opts.Stream != "" && p.opts.Stream != e.stream) {
		return nil
	}
	if p.opts.Timestamps && !p.midLine[e.stream] {
		p.stamp = append(e.time.UTC().AppendFormat(p.stamp[:0], time.RFC3339Nano), ' ')
		if err := p.write(p.stamp); err != nil {
			return err
		}
	}
	p.midLine[e.stream] = e.partial
	if err := p.write(e.content); err != nil {
		return err
	}
	if e.partial {
		return nil
	}
	return p.write([]byte{'\n'})
}

func (p *printer) write(b []byte) error {
	if p.left < 0 {
		_, err := p.out.Write(b)
		return err
	}
	cut := b[:min(int64(len(b)), p.left)]
	p.left -= int64(len(cut))
	if _, err := p.out.Write(cut); err != nil {
		return err
	}
	if p.left == 0 {
		if err := p.out.Flush(); err != nil {
			return err
		}
		return errLimit
	}
	return nil
}

func (p *printer) flush() error { return p.out.Flush() }
