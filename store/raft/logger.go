package raft

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// newLogger hands hashicorp/raft's messages to slog. Its running commentary is worth no more than debug; so is its warning
// at every start that no leader was heard of.
func newLogger(l *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Off, Output: io.Discard})
	logger.RegisterSink(sink{l})
	return logger
}

type sink struct{ logger *slog.Logger }

func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case strings.HasPrefix(msg, "failed to appendEntries"), strings.HasPrefix(msg, "failed to heartbeat"),
		strings.HasPrefix(msg, "failed to make requestVote"), strings.HasPrefix(msg, "failed to contact"):
		// A server that is away: said several times a second, and the gossip says it once.
	case strings.HasPrefix(msg, "Election timeout reached"):
		// A server that is cut off: said every few seconds for as long as it is, on a disk that should not wear out.
	case strings.HasPrefix(msg, "failed to get previous log"), strings.HasPrefix(msg, "appendEntries rejected, sending older logs"):
		// Each server that is new, or was away: it is sent what it lacks.
	case level == hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn && !strings.HasPrefix(msg, "heartbeat timeout reached"):
		to = slog.LevelWarn
	}
	ctx := context.Background()
	if !s.logger.Enabled(ctx, to) {
		return
	}
	for i, arg := range args {
		if f, ok := arg.(hclog.Format); ok && len(f) == 2 {
			args[i] = f[1]
		}
	}
	s.logger.Log(ctx, to, "raft: "+msg, args...)
}
