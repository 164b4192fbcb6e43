package node

import (
	"net"
)

// advertised is the address that this node tells others: the one it was given, the one it listens on, or the one that
// the machine would use to reach the world.
func advertised(cfg *Config, listen *net.TCPAddr) net.IP {
	switch {
	case cfg.Advertise != "":
		return net.ParseIP(cfg.Advertise)
	case !listen.IP.IsUnspecified():
		return listen.IP
	}
	if ip := defaultRouteIP(); ip != nil {
		return ip
	}
	return firstIP()
}

// defaultRouteIP asks the kernel which source address it would use; nothing is sent.
func defaultRouteIP() net.IP {
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", far)
		if err != nil {
			continue
		}
		ip := conn.LocalAddr().(*net.UDPAddr).IP
		_ = conn.Close()
		return ip
	}
	return nil
}

// firstIP is for a machine without a default route.
func firstIP() net.IP {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return net.IPv4(127, 0, 0, 1)
	}
	for _, addr := range addrs {
		if n, ok := addr.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	return net.IPv4(127, 0, 0, 1)
}

// localServer is the URL at which a client on this machine reaches the API.
func localServer(listen *net.TCPAddr) string {
	addr := *listen
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	return "https://" + addr.String()
}
