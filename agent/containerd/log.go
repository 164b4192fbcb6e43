package containerd

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// logSink is where containerd's own log goes, which is one for the process.
var logSink struct {
	sync.Mutex
	once   sync.Once
	logger *slog.Logger
}

// routeLogs sends containerd's log to ours: warnings as they are, the rest as debugging.
func routeLogs(to *slog.Logger) {
	logSink.Lock()
	logSink.logger = to.With("component", "containerd")
	logSink.Unlock()
	logSink.once.Do(func() {
		log.L.Logger.SetOutput(io.Discard)
		log.L.Logger.AddHook(logHook{})
	})
	level := logrus.WarnLevel
	if to.Enabled(context.Background(), slog.LevelDebug) {
		level = logrus.InfoLevel
	}
	log.L.Logger.SetLevel(level)
}

// harmless are messages that containerd gives too high a level: they belong to the ordinary course of things.
var harmless = map[string]bool{
	"copy shim log":                     true, // said when a shim ends
	"failed check for fsverity support": true, // said at each start on most file systems
}

type logHook struct{}

func (logHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire hands one entry on.
func (logHook) Fire(e *logrus.Entry) error {
	logSink.Lock()
	logger := logSink.logger
	logSink.Unlock()
	level := slog.LevelDebug
	switch {
	case harmless[e.Message]:
	case e.Level <= logrus.ErrorLevel: // and worse
		level = slog.LevelError
	case e.Level == logrus.WarnLevel:
		level = slog.LevelWarn
	}
	var attrs []any
	for key, value := range e.Data {
		attrs = append(attrs, key, value)
	}
	logger.Log(context.Background(), level, e.Message, attrs...)
	return nil
}
