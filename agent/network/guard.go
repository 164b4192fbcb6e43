package network

import (
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

func guardTable(table string) string { return table + "-overlay" }

// guard drops what arrives at the overlay's port from others than the nodes at the far ends: VXLAN itself takes packets from
// anybody, and what is in them would be among the pods. Without tunnels there is no table.
func guard(table string, tunnels []tunnel) error {
	if len(tunnels) == 0 {
		return dropGuard(table)
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Name: guardTable(table), Family: nftables.TableFamilyINet}
	c.AddTable(t)
	c.DelTable(t)
	c.AddTable(t)
	chain := c.AddChain(&nftables.Chain{
		Name: "input", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	for _, f := range []struct {
		name           string
		protocol       byte
		offset, length uint32 // of the source address
		key            nftables.SetDatatype
	}{
		{"nodes4", unix.NFPROTO_IPV4, 12, 4, nftables.TypeIPAddr},
		{"nodes6", unix.NFPROTO_IPV6, 8, 16, nftables.TypeIP6Addr},
	} {
		nodes := &nftables.Set{Table: t, Name: f.name, KeyType: f.key}
		if err := c.AddSet(nodes, sources(tunnels, int(f.length))); err != nil {
			return err
		}
		known := append(toOverlay(),
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.protocol}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: f.offset, Len: f.length},
			&expr.Lookup{SourceRegister: 1, SetName: nodes.Name, SetID: nodes.ID},
			&expr.Verdict{Kind: expr.VerdictAccept},
		)
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: known})
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: append(toOverlay(), &expr.Verdict{Kind: expr.VerdictDrop})})
	return c.Flush()
}

func toOverlay() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(OverlayPort)},
	}
}

// sources are all addresses of the peers of that length, since a packet may leave by any.
func sources(tunnels []tunnel, length int) []nftables.SetElement {
	var elements []nftables.SetElement
	seen := map[string]bool{}
	for _, t := range tunnels {
		for _, network := range t.Networks {
			key := network.Addr().AsSlice()
			if len(key) == length && !seen[string(key)] {
				seen[string(key)] = true
				elements = append(elements, nftables.SetElement{Key: key})
			}
		}
	}
	return elements
}

func dropGuard(table string) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Name: guardTable(table), Family: nftables.TableFamilyINet})
	if err := c.Flush(); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
