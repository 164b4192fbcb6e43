package network

import (
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// userspace is WireGuard in this process, for kernels that have none. It ends with the process.
type userspace struct{ *device.Device }

func newUserspace(name string, mtu int) (wireguard, error) {
	fd, err := openTUN(name)
	if err != nil {
		return nil, err
	}
	// Nobody watches the interface: it is up as long as it is there. That costs no wake-ups.
	t, _, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("take over the interface: %w", err)
	}
	d := device.NewDevice(sized{t, mtu}, &socket{}, &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
	return userspace{d}, nil
}

// sized is a TUN device whose MTU is known.
type sized struct {
	tun.Device
	mtu int
}

func (s sized) MTU() (int, error) { return s.mtu, nil }

func openTUN(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("the kernel has neither WireGuard nor TUN devices (modprobe wireguard, or tun): %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("make the interface: %w", err)
	}
	return fd, nil
}

func (u userspace) close() { u.Close() }

func (u userspace) configure(cfg wgtypes.Config) error {
	if err := u.IpcSet(uapi(cfg)); err != nil {
		return err
	}
	return u.Up()
}

// uapi writes a configuration as wireguard-go reads it (https://www.wireguard.com/xplatform).
func uapi(cfg wgtypes.Config) string {
	var b strings.Builder
	set := func(key string, value any) { fmt.Fprintf(&b, "%s=%v\n", key, value) }
	if cfg.PrivateKey != nil {
		set("private_key", hex.EncodeToString(cfg.PrivateKey[:]))
	}
	if cfg.ListenPort != nil {
		set("listen_port", *cfg.ListenPort)
	}
	if cfg.ReplacePeers {
		set("replace_peers", true)
	}
	for _, p := range cfg.Peers {
		set("public_key", hex.EncodeToString(p.PublicKey[:]))
		if p.Remove {
			set("remove", true)
			continue
		}
		set("endpoint", p.Endpoint)
		set("replace_allowed_ips", p.ReplaceAllowedIPs)
		for _, ip := range p.AllowedIPs {
			set("allowed_ip", ip.String())
		}
	}
	return b.String()
}
