// Package output is how the runtime tells covey's shim where a container's output goes, and where to leave a note of how
// the container ended: as an address in the place of the path of a pipe, since containerd hands that on unchanged. The
// runtime calls URI and ReadExit, the shim Parse and WriteExit.
package output

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"
)

const scheme = "covey-log"

// OpenStdin in the place of the path of the standard input's pipe asks for an input that stays open and empty.
const OpenStdin = "covey-open:"

// OpenStdinOnce is OpenStdin for an input that ends with that of the first client that is attached to it.
const OpenStdinOnce = "covey-open:once"

// Destination is a rotated log file in CRI format, and the note.
type Destination struct {
	Path     string
	MaxBytes int64 // of one file; 0: the default
	MaxFiles int   // 0: the default
	ExitFile string
	Cgroup   string // the container's, to count what was killed for memory
}

// URI gives the destination's address.
func (d Destination) URI() *url.URL {
	q := url.Values{}
	q.Set("max-bytes", strconv.FormatInt(d.MaxBytes, 10))
	q.Set("max-files", strconv.Itoa(d.MaxFiles))
	q.Set("exit-file", d.ExitFile)
	q.Set("cgroup", d.Cgroup)
	return &url.URL{Scheme: scheme, Path: d.Path, RawQuery: q.Encode()}
}

// Parse reads an address. Ok is false when it is none of ours.
func Parse(address string) (d Destination, ok bool, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != scheme {
		return Destination{}, false, nil // a plain path
	}
	d.Path, d.ExitFile, d.Cgroup = u.Path, u.Query().Get("exit-file"), u.Query().Get("cgroup")
	if d.MaxBytes, err = strconv.ParseInt(u.Query().Get("max-bytes"), 10, 64); err != nil {
		return Destination{}, true, fmt.Errorf("log address %q: max-bytes: %w", address, err)
	}
	if d.MaxFiles, err = strconv.Atoi(u.Query().Get("max-files")); err != nil {
		return Destination{}, true, fmt.Errorf("log address %q: max-files: %w", address, err)
	}
	return d, true, nil
}

// Exit is how a container's first process ended. The shim keeps it because containerd forgets processes that ended while
// it was not there.
type Exit struct {
	FinishedAt time.Time
	Code       int32
	OOMKills   int `json:",omitempty"` // processes of the container that were killed for memory
}

// WriteExit writes the note; it appears whole or not at all.
func WriteExit(path string, e Exit) error {
	content, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// ReadExit reads the note. Its absence is fs.ErrNotExist.
func ReadExit(path string) (Exit, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Exit{}, err
	}
	var e Exit
	if err := json.Unmarshal(content, &e); err != nil {
		return Exit{}, fmt.Errorf("read %s: %w", path, err)
	}
	return e, nil
}
