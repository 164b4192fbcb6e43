package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Port is a port of a pod that is published on the machine.
type Port struct {
	HostIP   netip.Addr // the machine's address that is published at; the zero value is all of them
	HostPort uint16
	Port     uint16
	Protocol string // TCP, UDP or SCTP
}

var protocols = map[string]byte{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP, "SCTP": unix.IPPROTO_SCTP}

// published is a table beside the network's own. What it holds is known from the kernel alone, so that it lasts over a
// restart of covey: each pod's rules carry its UID.
type published struct {
	*nftables.Conn
	table         *nftables.Table
	arrive, local *nftables.Chain // what comes from elsewhere, and what the machine itself sends
}

func portsTable(table string) string { return table + "-ports" }

// Publish has the machine hand on what arrives at these ports of it to the pod at addr. It replaces what was published for
// the pod before; without ports nothing is.
func (n *Network) Publish(uid string, addr netip.Addr, ports []Port) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.publish(uid, addr, ports); err != nil {
		return fmt.Errorf("publish the pod's host ports: %w", err)
	}
	return nil
}

func (n *Network) publish(uid string, addr netip.Addr, ports []Port) error {
	old, err := n.publishedRules(uid)
	if err != nil || len(old) == 0 && len(ports) == 0 {
		return err
	}
	p, err := n.portsTable()
	if err != nil {
		return err
	}
	for _, port := range ports {
		for _, chain := range []*nftables.Chain{p.arrive, p.local} {
			p.AddRule(&nftables.Rule{Table: p.table, Chain: chain, Exprs: port.rule(addr), UserData: []byte(uid)})
		}
	}
	for _, rule := range old {
		if err := p.DelRule(rule); err != nil {
			return err
		}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	if len(ports) == 0 {
		handedTo(n.pool.byUID[uid]).forget()
		return nil
	}
	if slices.ContainsFunc(ports, func(p Port) bool { return p.Protocol == "UDP" }) {
		astray(addr, ports, machine()).forget()
	}
	// What the machine sends to its own 127.0.0.1 leaves through the bridge then.
	return os.WriteFile("/proc/sys/net/ipv4/conf/"+n.bridge+"/route_localnet", []byte("1"), 0o644)
}

// publishedRules are the pod's rules that are there.
func (n *Network) publishedRules(uid string) ([]*nftables.Rule, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	table := &nftables.Table{Name: portsTable(n.table), Family: nftables.TableFamilyIPv4}
	var found []*nftables.Rule
	for _, name := range []string{arriveChain, localChain} {
		rules, err := c.GetRules(table, &nftables.Chain{Name: name, Table: table})
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, rule := range rules {
			if bytes.Equal(rule.UserData, []byte(uid)) {
				found = append(found, rule)
			}
		}
	}
	return found, nil
}

const arriveChain, localChain = "prerouting", "output"

// portsTable makes the table and its chains if they are not there. Its fixed rules are made with it.
func (n *Network) portsTable() (*published, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	p := &published{Conn: c, table: &nftables.Table{Name: portsTable(n.table), Family: nftables.TableFamilyIPv4}}
	c.AddTable(p.table)
	p.arrive = c.AddChain(&nftables.Chain{
		Name: arriveChain, Table: p.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	p.local = c.AddChain(&nftables.Chain{
		Name: localChain, Table: p.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
	})
	answers := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: p.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	guard := c.AddChain(&nftables.Chain{
		Name: "guard", Table: p.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	})
	c.FlushChain(answers)
	c.FlushChain(guard)
	toPods := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ifname(n.bridge)},
		&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(statusDestinationNAT), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
	// Pods would answer each other directly, and the machine's 127.0.0.1 not at all: they see the bridge's address.
	for _, from := range []netip.Prefix{n.pool.cidr, loopback} {
		exprs := append(inCIDR(sourceOffset, from, expr.CmpOpEq), toPods...)
		c.AddRule(&nftables.Rule{Table: p.table, Chain: answers, Exprs: append(exprs, &expr.Masq{})})
	}
	// Routing 127.0.0.0/8 must not let pods reach what listens on the machine's own.
	in := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ifname(n.bridge)},
	}
	in = append(in, inCIDR(destinationOffset, loopback, expr.CmpOpEq)...)
	c.AddRule(&nftables.Rule{Table: p.table, Chain: guard, Exprs: append(in, &expr.Verdict{Kind: expr.VerdictDrop})})
	return p, nil
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

const (
	sourceOffset, destinationOffset = 12, 16 // of the addresses in an IPv4 header
	statusDestinationNAT            = 1 << 5 // IPS_DST_NAT of a connection's status
)

// rule sends what is for the port to the pod.
func (p Port) rule(to netip.Addr) []expr.Any {
	exprs := []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
	if p.HostIP.IsValid() {
		exprs = inCIDR(destinationOffset, netip.PrefixFrom(p.HostIP, 32), expr.CmpOpEq)
	}
	return append(exprs,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocols[p.Protocol]}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(p.HostPort)},
		&expr.Immediate{Register: 1, Data: to.AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(p.Port)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	)
}
