package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// udpHeaders are IPv4's and UDP's.
const udpHeaders = 20 + 8

// FullPacket sends a packet as large as the interface of the first pod allows to the second, with the order not to break it
// into pieces, and returns an error if it does not arrive.
func (c *Cluster) FullPacket(from, to *corev1.Pod) error {
	sender, err := c.podNetwork(from)
	if err != nil {
		return err
	}
	defer func() { _ = sender.file.Close() }()
	receiver, err := c.podNetwork(to)
	if err != nil {
		return err
	}
	defer func() { _ = receiver.file.Close() }()
	var in *net.UDPConn
	if err := receiver.enter(func() (err error) { in, err = net.ListenUDP("udp4", nil); return err }); err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	size, err := sender.sendWhole(net.JoinHostPort(to.Status.PodIP, fmt.Sprint(in.LocalAddr().(*net.UDPAddr).Port)))
	if err != nil {
		return err
	}
	_ = in.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, _, err := in.ReadFromUDP(make([]byte, 65536))
	if err != nil || got != size {
		return fmt.Errorf("of a packet with %d bytes from %s to %s %d arrived: %w", size, from.Name, to.Name, got, err)
	}
	return nil
}

// sendWhole returns how many bytes were in the packet.
func (n *network) sendWhole(to string) (size int, err error) {
	err = n.enter(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		conn, err := net.Dial("udp4", to)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		raw, err := conn.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		var refused error
		err = raw.Control(func(fd uintptr) {
			refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		})
		if err := errors.Join(err, refused); err != nil {
			return err
		}
		size = eth0.MTU - udpHeaders
		_, err = conn.Write(make([]byte, size))
		return err
	})
	return size, err
}

// podNetwork is the network namespace of a pod of the cluster.
func (c *Cluster) podNetwork(pod *corev1.Pod) (*network, error) {
	for _, n := range c.Nodes {
		if n.name == pod.Spec.NodeName {
			file, err := os.Open(filepath.Join(n.StateDir, "pods", string(pod.UID), "ns", "net"))
			return &network{file: file}, err
		}
	}
	return nil, fmt.Errorf("no node is called %q", pod.Spec.NodeName)
}

// Overlays are the node's overlay devices, as ip-link(8) shows them.
func (n *Node) Overlays() []string {
	n.t.Helper()
	var found []string
	for line := range strings.Lines(n.ip("-o", "-d", "link", "show")) {
		if strings.Contains(line, "vxlan id") {
			found = append(found, line)
		}
	}
	return found
}

// WayTo is the node's route to an address, as ip-route(8) shows it.
func (n *Node) WayTo(address string) string {
	n.t.Helper()
	return n.ip("route", "get", address)
}
