package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// Network is what several machines are plugged into: machine i on port i of a switch that the test controls.
type Network struct {
	*harness.Switch
	dir string // of the sockets, whose paths have to be short
}

// NewNetwork makes a network without machines.
func NewNetwork(t *testing.T) *Network {
	t.Helper()
	dir, err := os.MkdirTemp("", "vm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &Network{harness.NewSwitch(t), dir}
}

func (n *Network) socket(m *Machine, end string) string { return filepath.Join(n.dir, m.name+"."+end) }

func (n *Network) connect(m *Machine) {
	m.t.Helper()
	if err := n.PlugMachine(n.socket(m, "switch"), n.socket(m, "machine")); err != nil {
		m.t.Fatal(err)
	}
}

// plug are QEMU's arguments for the machine's interface.
func (n *Network) plug(m *Machine) []string {
	own := n.socket(m, "machine")
	_ = os.Remove(own) // a machine whose power was cut has left it
	return []string{
		"-netdev", fmt.Sprintf("dgram,id=net,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s", own, n.socket(m, "switch")),
		"-device", fmt.Sprintf("virtio-net-pci,netdev=net,mac=52:54:00:00:00:%02x", m.number),
	}
}
