package harness

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newTap makes an interface in the network whose frames are read from the file, and sent by writing to it. It goes when the file is
// closed.
func newTap(n *network, name string) (*os.File, error) {
	const device = "/dev/net/tun"
	var fd int
	err := n.enter(func() (err error) { // the interface is made where the device was opened
		fd, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", device, err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make the interface %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), device), nil // not blocking, so that Close ends a Read
}
