package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net"
	"time"

	"golang.org/x/time/rate"
)

// Of memberlist's errors so many in a row are warnings, and one more each warnInterval: whoever sends packets to the port could fill
// the disk otherwise.
const (
	warnBurst    = 10
	warnInterval = 10 * time.Second
)

// closed ends what memberlist says of packets that it has in hand when the node stops.
var closed = []byte(net.ErrClosed.Error())

// newLogger hands memberlist's messages, which begin with their level, to slog. Only its errors are worth more than debug:
// a link that loses packets would fill the log with warnings.
func newLogger(l *slog.Logger) *log.Logger {
	return log.New(writer{l, rate.NewLimiter(rate.Every(warnInterval), warnBurst)}, "", 0)
}

type writer struct {
	log      *slog.Logger
	warnings *rate.Limiter
}

func (w writer) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, bytes.TrimSpace(line)
	for _, prefix := range []string{"[DEBUG] ", "[INFO] ", "[WARN] ", "[ERR] "} {
		if rest, ok := bytes.CutPrefix(text, []byte(prefix)); ok {
			text = rest
			if prefix == "[ERR] " && !bytes.HasSuffix(text, closed) && w.warnings.Allow() {
				level = slog.LevelWarn
			}
		}
	}
	w.log.Log(context.Background(), level, string(text))
	return len(line), nil
}
