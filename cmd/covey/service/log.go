package service

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OldLogFile has what was in the LogFile before.
const OldLogFile = LogFile + ".1"

// maxLog is the size at which the log file becomes the old one: nobody rotates it, unlike systemd's journal.
const maxLog = 4 << 20

// Log is where to log instead of to out: where that is the LogFile, to what keeps it small.
func Log(out io.Writer) io.Writer {
	file, ok := out.(*os.File)
	if !ok {
		return out
	}
	return smallLog(file, LogFile, OldLogFile, maxLog)
}

// logWriter writes to a file that OpenRC opened, and that is its as long as the service runs.
type logWriter struct {
	file *os.File
	path string
	old  string
	most int64
}

// smallLog is file itself unless it is the one at path, and whoever opened it always writes to the end of it.
func smallLog(file *os.File, path, old string, most int64) io.Writer {
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	own, ownErr := file.Stat()
	there, thereErr := os.Stat(path)
	if errors.Join(err, ownErr, thereErr) != nil || flags&unix.O_APPEND == 0 || !own.Mode().IsRegular() || !os.SameFile(own, there) {
		return file
	}
	return &logWriter{file, path, old, most}
}

// Write implements io.Writer.
func (l *logWriter) Write(p []byte) (int, error) {
	if info, err := l.file.Stat(); err == nil && info.Size()+int64(len(p)) > l.most {
		l.begin()
	}
	return l.file.Write(p)
}

// begin makes the content the old one. Where there is no room for that it goes: the log is not what should fill a disk.
func (l *logWriter) begin() {
	if err := l.keep(); err != nil {
		_ = os.Remove(l.old)
	}
	_ = l.file.Truncate(0) // else it grows until the next line
}

func (l *logWriter) keep() error {
	from, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(l.old, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
