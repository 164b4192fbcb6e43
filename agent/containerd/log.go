package containerd

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// logSink is where containerd's own log goes, which is one for the process.
var logSink struct {
	sync.Mutex
	once   sync.Once
	logger *slog.Logger
	ending bool
}

// routeLogs sends containerd's log to ours: warnings as they are, the rest as debugging.
func routeLogs(to *slog.Logger) {
	logSink.Lock()
	logSink.logger, logSink.ending = to.With("component", "containerd"), false
	logSink.Unlock()
	logSink.once.Do(func() {
		log.L.Logger.SetOutput(io.Discard)
		log.L.Logger.AddHook(logHook{})
		log.L.Logger.ExitFunc = exitUnlessEnding
	})
	level := logrus.WarnLevel
	if to.Enabled(context.Background(), slog.LevelDebug) {
		level = logrus.InfoLevel
	}
	log.L.Logger.SetLevel(level)
}

// quietLogs makes debugging of all that containerd says from now on: while it ends, its parts complain about each other's
// being gone.
func quietLogs() {
	logSink.Lock()
	defer logSink.Unlock()
	logSink.ending = true
}

// exitUnlessEnding is what a fatal message of containerd's does. When it is stopped before it serves its socket it calls that
// fatal: covey, which stops it because something else went wrong, would end before it says what.
func exitUnlessEnding(code int) {
	logSink.Lock()
	ending := logSink.ending
	logSink.Unlock()
	if !ending {
		os.Exit(code)
	}
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
	logger, ending := logSink.logger, logSink.ending
	logSink.Unlock()
	level := slog.LevelDebug
	switch {
	case ending, harmless[e.Message]:
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
