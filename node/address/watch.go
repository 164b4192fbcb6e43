package address

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// settleTime is how long after a notice the machine is looked at: an address that is replaced is gone first, and what
	// comes in the meantime is seen with it.
	settleTime = 100 * time.Millisecond
	retryTime  = time.Second
)

// Run calls changed after each change of the machine's links, addresses or default routes, until ctx ends: with moved when the
// node's addresses are others now. The kernel tells of changes; nothing is polled. Where notices may have been
// lost it is called as well: a link that was down for a moment has the addresses of before, but not the routes.
func (a *Addresses) Run(ctx context.Context, changed func(moved bool), log *slog.Logger) error {
	for again := false; ; again = true {
		err := a.watch(ctx, changed, again)
		if ctx.Err() != nil {
			return nil
		}
		// Such as when there were more notices than the kernel keeps.
		log.Debug("the kernel's notices of the machine's addresses ended", "error", err)
		select {
		case <-time.After(retryTime):
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *Addresses) watch(ctx context.Context, changed func(moved bool), again bool) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("subscribe to the kernel's notices: %w", err)
	}
	if moved := a.refresh(); moved || again { // since the machine was looked at before
		changed(moved)
	}
	notices := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- receive(socket, notices) }()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			socket.Close()
			return <-ended
		case err := <-ended:
			socket.Close()
			return err
		case <-notices:
			if settled == nil {
				settled = time.After(settleTime)
			}
		case <-settled:
			settled = nil
			changed(a.refresh())
		}
	}
}

// receive passes on that there were notices that matter, until the socket fails or is closed.
func receive(socket *nl.NetlinkSocket, notices chan<- struct{}) error {
	for {
		messages, from, err := socket.Receive()
		if err != nil {
			return err
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for i := range messages {
			if matters(&messages[i]) {
				select {
				case notices <- struct{}{}:
				default: // one is waiting already
				}
			}
		}
	}
}

// matters leaves out what happens with each pod: the changes of covey's own interfaces, link-local addresses, and routes into
// one network.
func matters(m *syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		header := unix.NlMsghdr(m.Header)
		link, err := netlink.LinkDeserialize(&header, m.Data)
		return err == nil && !strings.HasPrefix(link.Attrs().Name, "cv")
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return len(m.Data) >= unix.SizeofIfAddrmsg && nl.DeserializeIfAddrmsg(m.Data).Scope == unix.RT_SCOPE_UNIVERSE
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m.Data) >= unix.SizeofRtMsg && nl.DeserializeRtMsg(m.Data).Dst_len == 0
	}
	return false
}
