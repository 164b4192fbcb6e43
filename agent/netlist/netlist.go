package netlist

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// tries is how often a list is asked for before its being interrupted is an error. Of lists of 200 interfaces every eighth was interrupted while
// others came and went without a pause.
const tries = 10

// Links are the interfaces.
func Links() ([]netlink.Link, error) { return whole(netlink.LinkList) }

// Addresses are those of an interface, or of all if that is nil.
func Addresses(link netlink.Link, family int) ([]netlink.Addr, error) {
	return whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, family) })
}

// Routes are those of the main table that go over an interface, or all if that is nil.
func Routes(link netlink.Link, family int) ([]netlink.Route, error) {
	return whole(func() ([]netlink.Route, error) { return netlink.RouteList(link, family) })
}

// RoutesLike are those that have in common with filter what mask says.
func RoutesLike(filter *netlink.Route, mask uint64, family int) ([]netlink.Route, error) {
	return whole(func() ([]netlink.Route, error) { return netlink.RouteListFiltered(family, filter, mask) })
}

// Neighbours are those on the interface of that index.
func Neighbours(link, family int) ([]netlink.Neigh, error) {
	return whole(func() ([]netlink.Neigh, error) { return netlink.NeighList(link, family) })
}

// whole lists until no change has come in between.
func whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range tries {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}
