package network

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// end is one end of WireGuard whose packets a test writes and reads.
type end struct {
	tun  *tuntest.ChannelTUN
	wg   userspace
	key  Key
	addr netip.Addr // of its only pod
	port int
}

func newEnd(t *testing.T, key Key, pod string) *end {
	t.Helper()
	tun := tuntest.NewChannelTUN()
	logger := device.NewLogger(device.LogLevelError, "")
	e := &end{tun: tun, wg: userspace{device.NewDevice(tun.TUN(), &socket{}, logger)}, key: key, addr: netip.MustParseAddr(pod)}
	port := freePort(t)
	e.port = port
	if err := e.wg.configure(wgtypes.Config{PrivateKey: &key.private, ListenPort: &port, ReplacePeers: true}); err != nil {
		t.Fatal(err)
	}
	return e
}

func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// peer is how the other is told of this end.
func (e *end) peer() wgtypes.PeerConfig {
	return wgtypes.PeerConfig{
		PublicKey: e.key.private.PublicKey(), Endpoint: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: e.port},
		ReplaceAllowedIPs: true, AllowedIPs: []net.IPNet{*ipNet(netip.PrefixFrom(e.addr, 32))},
	}
}

// TestANodeRebootsIn1970 has a node that has no clock, and booted before, open a connection to another one. Within a bubble of
// synctest it is the year 2000, and stays so while sockets are waited for.
func TestANodeRebootsIn1970(t *testing.T) {
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second) // not the bubble's, where the time stands still
	defer cancel()
	here, key := newEnd(t, newKey(t), "10.42.1.1"), newKey(t)
	defer here.wg.close()
	var known peerBoots
	tell := func(boot string, e *end) {
		t.Helper()
		var cfg wgtypes.Config
		cfg, known = known.change([]nodePeer{{e.peer(), boot}})
		if err := here.wg.configure(cfg); err != nil {
			t.Fatal(err)
		}
	}
	connect := func(t *testing.T, e *end) {
		t.Helper()
		if err := e.wg.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{here.peer()}}); err != nil {
			t.Fatal(err)
		}
		e.tun.Outbound <- tuntest.Ping(here.addr, e.addr)
		select {
		case <-here.tun.Inbound:
		case <-patience.Done():
			t.Error("the other node does not take its connection")
		}
	}

	first := newEnd(t, key, "10.42.2.1")
	tell("first", first)
	connect(t, first)
	first.wg.close()
	tell("second", first)
	synctest.Test(t, func(t *testing.T) {
		second := newEnd(t, key, "10.42.2.1")
		defer second.wg.close()
		connect(t, second)
	})
}

func TestOnlyTheNodeThatBootedIsMadeAnew(t *testing.T) {
	peers := map[string]wgtypes.PeerConfig{}
	for _, name := range []string{"stays", "boots", "leaves", "joins"} {
		peers[name] = wgtypes.PeerConfig{PublicKey: newKey(t).private.PublicKey()}
	}
	_, told := peerBoots(nil).change([]nodePeer{{peers["stays"], "1"}, {peers["boots"], "1"}, {peers["leaves"], "1"}})
	cfg, _ := told.change([]nodePeer{{peers["boots"], "2"}, {peers["stays"], "1"}, {peers["joins"], "1"}})
	got := map[string]string{}
	for name, peer := range peers {
		for _, told := range cfg.Peers {
			if told.PublicKey == peer.PublicKey {
				got[name] += map[bool]string{true: "-", false: "+"}[told.Remove]
			}
		}
	}
	want := map[string]string{"stays": "+", "boots": "-+", "leaves": "-", "joins": "+"}
	if !maps.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}
