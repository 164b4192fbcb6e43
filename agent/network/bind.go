package network

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
)

// socket is a UDP socket as wireguard-go uses one, packet by packet. Its own reads 128 at once, for which it has room for 64 KiB
// each: 25 MB, more than all the rest of an idle node.
type socket struct {
	mu  sync.Mutex
	udp *net.UDPConn
}

var _ conn.Bind = (*socket)(nil)

// Open implements conn.Bind.
func (s *socket) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.udp != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(port)}) // IPv4 and IPv6
	if err != nil {
		return nil, 0, err
	}
	s.udp = udp
	receive := func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, addr, err := udp.ReadFromUDPAddrPort(packets[0])
		if err != nil {
			return 0, err
		}
		sizes[0] = n
		from[0] = &conn.StdNetEndpoint{AddrPort: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}
		return 1, nil
	}
	return []conn.ReceiveFunc{receive}, uint16(udp.LocalAddr().(*net.UDPAddr).Port), nil
}

// Close implements conn.Bind; a socket that is closed can be opened again.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.udp == nil {
		return nil
	}
	err := s.udp.Close()
	s.udp = nil
	return err
}

// Send implements conn.Bind.
func (s *socket) Send(packets [][]byte, to conn.Endpoint) error {
	s.mu.Lock()
	udp := s.udp
	s.mu.Unlock()
	end, ok := to.(*conn.StdNetEndpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	if udp == nil {
		return net.ErrClosed
	}
	var errs []error
	for _, packet := range packets {
		_, err := udp.WriteToUDPAddrPort(packet, end.AddrPort)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ParseEndpoint implements conn.Bind.
func (s *socket) ParseEndpoint(text string) (conn.Endpoint, error) {
	addr, err := netip.ParseAddrPort(text)
	return &conn.StdNetEndpoint{AddrPort: addr}, err
}

// SetMark implements conn.Bind; packets carry no mark.
func (s *socket) SetMark(uint32) error { return nil }

// BatchSize implements conn.Bind.
func (s *socket) BatchSize() int { return 1 }
