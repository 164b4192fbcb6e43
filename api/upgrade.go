package api

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// upgraded sends the headers that are set also with an answer by which a connection becomes a stream: whoever takes that over may write
// the answer without them, as for a WebSocket.
type upgraded struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (u upgraded) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func (u upgraded) Flush() { _ = http.NewResponseController(u.ResponseWriter).Flush() }

func (u upgraded) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	warnings := u.Header().Values("Warning")
	if err != nil || len(warnings) == 0 {
		return conn, buffered, err
	}
	out := &warned{Conn: conn, warnings: warnings}
	return out, bufio.NewReadWriter(buffered.Reader, bufio.NewWriter(out)), nil
}

// warned adds the warnings to the answer that is written first, unless it has them.
type warned struct {
	net.Conn
	warnings []string
}

func (w *warned) Write(b []byte) (int, error) {
	if w.warnings == nil {
		return w.Conn.Write(b)
	}
	status, rest, whole := bytes.Cut(b, []byte("\r\n"))
	warnings := w.warnings
	w.warnings = nil
	if !whole || !bytes.HasPrefix(status, []byte("HTTP/")) || bytes.Contains(rest, []byte("\r\nWarning: ")) {
		return w.Conn.Write(b)
	}
	answer := append(bytes.Clone(status), "\r\n"...)
	for _, text := range warnings {
		answer = append(answer, "Warning: "+text+"\r\n"...)
	}
	if _, err := w.Conn.Write(append(answer, rest...)); err != nil {
		return 0, err
	}
	return len(b), nil
}
