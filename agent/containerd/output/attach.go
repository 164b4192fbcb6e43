package output

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

// A container's shim serves an attachment on a socket beside the container's note of its exit. The client says first, in
// one byte, whether it brings input; what it sends then is the input, whose end is the end of that direction. The shim
// sends frames of output, the first of them an empty one that says that from here on all output is seen.

// The first byte of a client.
const (
	WithInput  = 'i'
	OutputOnly = 'o'
)

// The streams of frames.
const (
	Attached byte = 0 // the empty first frame
	Stdout   byte = 1
	Stderr   byte = 2
)

// attachSocket is the socket's name.
const attachSocket = "attach"

// maxFrame bounds a frame's content in bytes.
const maxFrame = 1 << 20

// Listen serves attachments beside the file of the destination's exit note.
func (d Destination) Listen() (*net.UnixListener, error) {
	var l *net.UnixListener
	err := d.atSocket(func(address *net.UnixAddr) (err error) {
		l, err = net.ListenUnix("unix", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve attachments: %w", err)
	}
	l.SetUnlinkOnClose(false) // its path was short-lived; the socket goes with the folder
	return l, nil
}

// Dial connects to what Listen serves. The error is fs.ErrNotExist where nothing does.
func (d Destination) Dial() (*net.UnixConn, error) {
	var c *net.UnixConn
	err := d.atSocket(func(address *net.UnixAddr) (err error) {
		c, err = net.DialUnix("unix", nil, address)
		return err
	})
	return c, err
}

// atSocket names the socket by a path that fits into the 107 bytes of an address.
func (d Destination) atSocket(use func(*net.UnixAddr) error) error {
	dir, err := os.Open(filepath.Dir(d.ExitFile))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return use(&net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), attachSocket)})
}

// Frame is a piece of output of a stream, as it is sent.
func Frame(stream byte, content []byte) []byte {
	frame := make([]byte, 0, 5+len(content))
	frame = append(frame, stream)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(content)))
	return append(frame, content...)
}

// ReadFrames hands each frame's content to the stream's function until r ends, which is no error.
func ReadFrames(r io.Reader, to func(stream byte, content []byte) error) error {
	var head [5]byte
	var content []byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		size := binary.BigEndian.Uint32(head[1:])
		if size > maxFrame {
			return fmt.Errorf("a frame of %d bytes", size)
		}
		if cap(content) < int(size) {
			content = make([]byte, size)
		}
		content = content[:size]
		if _, err := io.ReadFull(r, content); err != nil {
			return err
		}
		if err := to(head[0], content); err != nil {
			return err
		}
	}
}
