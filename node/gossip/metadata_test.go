package gossip

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"

	"covey.dev/covey/store/protocol"
)

// TestMetadataOfOtherVersionsIsRead is what lets nodes of different releases find each other.
func TestMetadataOfOtherVersionsIsRead(t *testing.T) {
	for _, test := range []struct {
		about, meta string
		want        protocol.Range
	}{
		{"before there were versions", `{"n":"a","v":"v1","a":["10.0.0.1"]}`, protocol.First},
		{"now", `{"n":"a","v":"v1","a":["10.0.0.1"],"p":[1,2]}`, protocol.Range{Oldest: 1, Newest: 2}},
		{"a newer one that says more", `{"n":"a","v":"v1","a":["10.0.0.1"],"p":[2,4,9],"z":{"y":1}}`, protocol.Range{Oldest: 2, Newest: 4}},
		{"a newer one that says it otherwise", `{"n":"a","v":"v1","p":{"x":1},"a":["10.0.0.1"]}`, protocol.First},
		{"nonsense", `{"n":"a","v":"v1","p":[9,1],"a":["10.0.0.1"]}`, protocol.First},
	} {
		m := member(&memberlist.Node{Name: "id", Port: 7443, Meta: []byte(test.meta)})
		if m.Protocol != test.want || m.Name != "a" || m.Version != "v1" || m.Address() != "10.0.0.1:7443" {
			t.Errorf("%s: %+v", test.about, m)
		}
	}
}

// TestMetadataIsReadByOlderVersions and has room for what is needed beside the longest name.
func TestMetadataIsReadByOlderVersions(t *testing.T) {
	var addresses []netip.Addr
	for i := range 20 {
		addresses = append(addresses, netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}))
	}
	g := &Gossip{cfg: Config{
		Name: strings.Repeat("n", 253), Version: "v1.20.300-rc.1-400-g0123456789ab", Witness: true, Incarnation: 1 << 63,
		Protocol: protocol.Range{Oldest: 254, Newest: 255}, Addresses: func() []netip.Addr { return addresses },
	}}
	g.generation.Store(1 << 60)
	data := delegate{g}.NodeMeta(memberlist.MetaMaxSize)
	var older struct { // as it was before there were versions
		Name      string       `json:"n"`
		Addresses []netip.Addr `json:"a"`
		Witness   bool         `json:"t"`
	}
	if err := json.Unmarshal(data, &older); err != nil || len(data) > memberlist.MetaMaxSize || !older.Witness || len(older.Name) != 253 || len(older.Addresses) == 0 {
		t.Errorf("%d bytes: %+v: %v", len(data), older, err)
	}
	if got := member(&memberlist.Node{Meta: data}).Protocol; got != g.cfg.Protocol {
		t.Errorf("it is read as %v", got)
	}
}
