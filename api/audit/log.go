package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

const (
	// waiting bounds the events that are not written yet.
	waiting = 4096
	// keptFiles is how many files there are at most, with the one that is written to.
	keptFiles = 5
	// DefaultMaxBytes is the size at which a file is rotated.
	DefaultMaxBytes = 32 << 20
)

// Config is what a Log is opened with.
type Config struct {
	Path     string  // "-" for the standard output
	Policy   *Policy // Metadata when nil
	MaxBytes int64   // of one file; DefaultMaxBytes when 0
	Logger   *slog.Logger
}

// Log is an audit log. It is safe for concurrent use.
type Log struct {
	policy  *Policy
	out     io.Writer
	file    *file // nil for the standard output
	log     *slog.Logger
	lines   chan []byte
	dropped atomic.Int64
	failing bool // Run's own
}

// Open opens the log; Run writes to it.
func Open(cfg Config) (*Log, error) {
	l := &Log{policy: cfg.Policy, log: cfg.Logger, lines: make(chan []byte, waiting), out: os.Stdout}
	if l.policy == nil {
		l.policy = Metadata()
	}
	if cfg.Path == "-" {
		return l, nil
	}
	f, err := openFile(cfg.Path, cfg.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l.file, l.out = f, f
	return l, nil
}

// Run writes events until ctx has ended and those that were there are written.
func (l *Log) Run(ctx context.Context) error {
	for {
		select {
		case line := <-l.lines:
			l.write(line)
		case <-ctx.Done():
			return l.finish()
		}
	}
}

func (l *Log) finish() error {
	for {
		select {
		case line := <-l.lines:
			l.write(line)
		default:
			if l.file == nil {
				return nil
			}
			return l.file.Close()
		}
	}
}

// keep hands an event on to be written, or drops it.
func (l *Log) keep(e *auditv1.Event) {
	line, err := json.Marshal(e)
	if err != nil {
		l.dropped.Add(1)
		return
	}
	select {
	case l.lines <- append(line, '\n'):
	default:
		l.dropped.Add(1)
	}
}

// write writes a line, and tells once of a disk that does not take any, and once of what that has cost.
func (l *Log) write(line []byte) {
	_, err := l.out.Write(line)
	if err != nil {
		l.dropped.Add(1)
		if !l.failing {
			l.log.Warn("the audit log cannot be written; its events are dropped until it can", "err", err)
		}
		l.failing = true
		return
	}
	if n := l.dropped.Swap(0); n > 0 {
		l.log.Warn("audit events were dropped", "events", n)
	}
	l.failing = false
}
