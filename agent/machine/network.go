package machine

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// network tries, in a namespace of its own that is gone afterwards, what a pod's network is made of.
func (m Machine) network() Finding {
	var lacks []string
	try := func(what string, err error) {
		if err != nil {
			lacks = append(lacks, fmt.Sprintf("%s (%v)", what, err))
		}
	}
	err := inNewNetwork(func() error {
		try("bridge", netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "check0"}}))
		try("veth", netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "check1"}, PeerName: "check2"}))
		try("nf_tables with nft_masq and nft_nat", masquerades())
		return nil
	})
	switch {
	case err != nil:
		return Finding{"network", Missing, "no network namespace can be made: " + err.Error(), "boot a kernel with CONFIG_NET_NS"}
	case len(lacks) > 0:
		return Finding{"network", Missing, "the kernel has no " + strings.Join(lacks, ", "),
			"install the kernel's modules (Debian: linux-image, Alpine: linux-lts; a container needs its host's) and modprobe them"}
	}
	return ok("network", "bridge, veth and nftables work")
}

// vxlan is needed only between nodes that do not share a link.
func (m Machine) vxlan() Finding {
	err := inNewNetwork(func() error {
		return netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "check0"}, VxlanId: 1, Port: 4789})
	})
	if err != nil {
		return Finding{"vxlan", Warning, "not there: pods reach those of nodes on the same network only, unless all nodes have --overlay wireguard: " + err.Error(), "modprobe vxlan"}
	}
	return ok("vxlan", "there")
}

// forwarding finds firewalls that drop what pods send.
func (m Machine) forwarding() Finding {
	c, err := nftables.New()
	if err != nil {
		return ok("firewall", "none")
	}
	chains, err := c.ListChains()
	if err != nil {
		return ok("firewall", "none that nftables shows")
	}
	for _, chain := range chains {
		if chain.Hooknum != nil && *chain.Hooknum == *nftables.ChainHookForward && chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop {
			return Finding{"firewall", Warning, fmt.Sprintf("the chain %s of table %s drops what is forwarded, pods' packets too", chain.Name, chain.Table.Name),
				"accept there what comes from and goes to 10.42.0.0/16 (with Docker: its chain DOCKER-USER)"}
		}
	}
	return ok("firewall", "forwards")
}

// masquerades sets up the rule that the agent needs for pods' way out.
func masquerades() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Name: "check", Family: nftables.TableFamilyIPv4})
	chain := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Masq{}}})
	return c.Flush()
}

// inNewNetwork calls fn in a network namespace that ends with it. Its thread ends too: it cannot be trusted to be back.
func inNewNetwork(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}
