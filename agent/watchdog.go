package agent

import (
	"context"
	"log/slog"

	"covey.dev/covey/agent/fence"
)

// RunWatchdog is what the process does that Config.Watchdog starts, with the directory that is its last argument.
func RunWatchdog(ctx context.Context, dir string, ready func(), log *slog.Logger) error {
	return fence.Watchdog(ctx, dir, ready, log)
}
