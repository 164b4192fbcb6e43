package node

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"
)

// routeKlog hands what Kubernetes' libraries log to ours, as debugging: they report each client that hangs up as an error.
func routeKlog(log *slog.Logger) {
	klog.SetSlogLogger(slog.New(demoted{log.With("component", "kubernetes").Handler()}))
}

// demoted makes every record one for debugging.
type demoted struct{ slog.Handler }

// Enabled implements slog.Handler.
func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	if !d.Handler.Enabled(ctx, slog.LevelDebug) {
		return nil // klog logs errors without asking
	}
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
