package agent

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/network"
)

// hostPorts are the ports of the pod's containers that are to be published on the machine.
func hostPorts(pod *corev1.Pod) ([]network.Port, error) {
	var list []network.Port
	for _, c := range serving(pod) {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			port := network.Port{HostPort: uint16(p.HostPort), Port: uint16(p.ContainerPort), Protocol: string(p.Protocol)}
			if p.Protocol == "" {
				port.Protocol = string(corev1.ProtocolTCP)
			}
			if p.HostIP != "" && p.HostIP != "0.0.0.0" && p.HostIP != "::" {
				addr, err := netip.ParseAddr(p.HostIP)
				if err != nil || !addr.Is4() {
					return nil, fmt.Errorf("container %s: ports: hostIP %q: want an IPv4 address, since pods have one", c.Name, p.HostIP)
				}
				port.HostIP = addr
			}
			list = append(list, port)
		}
	}
	return list, nil
}
