package network

import (
	"errors"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// masquerade gives what pods send out of the CIDR the address of the interface it leaves by. The table is replaced as a
// whole, in one transaction.
func masquerade(table, bridge string, cidr netip.Prefix) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Name: table, Family: nftables.TableFamilyIPv4}
	c.AddTable(t)
	c.DelTable(t)
	c.AddTable(t)
	chain := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: t, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	from := inCIDR(12, cidr, expr.CmpOpEq)
	to := inCIDR(16, clusterCIDR, expr.CmpOpNeq) // other nodes' pods see who it was
	out := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: ifname(bridge)},
		&expr.Masq{},
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: append(append(from, to...), out...)})
	return c.Flush()
}

// inCIDR compares the address at an offset of the IPv4 header with a CIDR.
func inCIDR(offset uint32, cidr netip.Prefix, op expr.CmpOp) []expr.Any {
	mask := net.CIDRMask(cidr.Bits(), 32)
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: binaryutil.NativeEndian.PutUint32(0)},
		&expr.Cmp{Op: op, Register: 1, Data: cidr.Masked().Addr().AsSlice()},
	}
}

// ifname is an interface name as the kernel compares it: 16 bytes, padded with zeros.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func dropTable(name string) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Name: name, Family: nftables.TableFamilyIPv4})
	if err := c.Flush(); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
