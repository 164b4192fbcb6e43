package network

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestKeyIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	made, err := LoadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := LoadKey(file); err != nil || again.Public() != made.Public() {
		t.Errorf("after a restart the key is %s (%v), before %s", again.Public(), err, made.Public())
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(file); err == nil {
		t.Error("a damaged key is taken for one")
	}
}

// TestAllNodesEncryptOrNone has a node that encrypts leave out one that does not, and the other way round; what both do works.
func TestAllNodesEncryptOrNone(t *testing.T) {
	inNewNetwork(t, func() {
		own := prefixes("10.9.1.1/24")
		key, other := newKey(t), newKey(t)
		plain := Peer{Name: "plain", CIDR: netip.MustParsePrefix("10.42.2.0/24"), Networks: prefixes("10.9.1.2/24")}
		encrypts := Peer{Name: "encrypts", CIDR: netip.MustParsePrefix("10.42.3.0/24"), Networks: prefixes("10.9.1.3/24"), Key: other.Public()}
		cfg := Config{InstanceID: "0123abcd", CIDR: netip.MustParsePrefix("10.42.1.0/24"), Networks: own, Key: key}

		for _, test := range []struct {
			overlay string
			err     error
			want    map[string]string
			mtu     int
		}{
			{OverlayWireGuard, errPlain, map[string]string{"10.42.3.0/24": "cvw-0123abcd <nil>"}, 1400 - wireguardOverhead},
			{OverlayVXLAN, errEncrypts, map[string]string{"10.42.2.0/24": "up0 10.9.1.2"}, 1400 - vxlanOverhead},
		} {
			cfg.Overlay = test.overlay
			n := open(t, cfg)
			if err := n.Route(own, []Peer{plain, encrypts}); !errors.Is(err, test.err) {
				t.Errorf("%s: %v, want %v", test.overlay, err, test.err)
			}
			if got := ways(t); !equal(got, test.want) || n.mtu != test.mtu {
				t.Errorf("%s: routes %v with MTU %d, want %v with %d", test.overlay, got, n.mtu, test.want, test.mtu)
			}
			n.Close()
		}
		if _, err := netlink.LinkByName("cvw-0123abcd"); !isMissing(err) {
			t.Errorf("with another overlay the device of the last one is left: %v", err)
		}
		if err := Teardown(cfg.InstanceID); err != nil {
			t.Error(err)
		}
	})
}

func newKey(t *testing.T) Key {
	t.Helper()
	key, err := LoadKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
