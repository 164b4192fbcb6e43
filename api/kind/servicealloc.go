package kind

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The tables of what Services hold.
const (
	serviceIPs       = "serviceips.covey.dev"
	serviceNodePorts = "nodeports.covey.dev"
)

// ServiceCIDR is the network that Services get their addresses from. What is chosen for them lies behind its first 256
// addresses, and behind the first ports of the range, which are left to those who choose for themselves.
var ServiceCIDR = netip.MustParsePrefix("10.43.0.0/16")

const (
	chosenIPsFrom   = 256
	firstNodePort   = 30000
	lastNodePort    = 32767
	chosenPortsFrom = firstNodePort + 86
)

// reserveForService fills in the address, the families and the ports that the Service lacks, and refuses those that another one
// holds. Covey's clusters have IPv4 alone.
func reserveForService(obj, old Object, free func(Reservation) bool) field.ErrorList {
	s := obj.(*corev1.Service)
	var errs field.ErrorList
	if hasClusterIP(s) {
		errs = append(errs, settleFamilies(s)...)
		if s.Spec.ClusterIP != corev1.ClusterIPNone && len(errs) == 0 {
			errs = append(errs, reserveIP(s, free)...)
		}
	}
	return append(errs, reservePorts(s, free)...)
}

// settleFamilies sets the families and their policy where the client says nothing, and refuses what the cluster has not got.
func settleFamilies(s *corev1.Service) field.ErrorList {
	selectorless := s.Spec.ClusterIP == corev1.ClusterIPNone && len(s.Spec.Selector) == 0
	if s.Spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		if selectorless {
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		s.Spec.IPFamilyPolicy = &policy
	}
	if len(s.Spec.IPFamilies) == 0 {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if selectorless { // nobody has to have an address of the family: whoever makes the endpoints decides
		if *s.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack && len(s.Spec.IPFamilies) == 1 {
			other := corev1.IPv6Protocol
			if s.Spec.IPFamilies[0] == other {
				other = corev1.IPv4Protocol
			}
			s.Spec.IPFamilies = append(s.Spec.IPFamilies, other)
		}
		return nil
	}
	var errs field.ErrorList
	if *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		errs = append(errs, field.Invalid(specPath.Child("ipFamilyPolicy"), *s.Spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
	}
	for i, family := range s.Spec.IPFamilies {
		if family != corev1.IPv4Protocol {
			errs = append(errs, field.Invalid(specPath.Child("ipFamilies").Index(i), family, "not configured on this cluster"))
		}
	}
	return errs
}

func reserveIP(s *corev1.Service, free func(Reservation) bool) field.ErrorList {
	if s.Spec.ClusterIP == "" && len(s.Spec.ClusterIPs) == 0 {
		ip, ok := chooseIP(s, free)
		if !ok {
			return field.ErrorList{field.InternalError(specPath.Child("clusterIPs"), fmt.Errorf("every address of %s belongs to a Service", ServiceCIDR))}
		}
		s.Spec.ClusterIP, s.Spec.ClusterIPs = ip, []string{ip}
		return nil
	}
	var errs field.ErrorList
	for i, text := range s.Spec.ClusterIPs {
		ip, err := netip.ParseAddr(text)
		path := specPath.Child("clusterIPs").Index(i)
		switch {
		case err != nil: // validation says so
		case !ServiceCIDR.Contains(ip):
			errs = append(errs, field.Invalid(path, s.Spec.ClusterIPs,
				fmt.Sprintf("failed to allocate IP %s: the provided IP (%s) is not in the valid range. The range of valid IPs is %s", text, text, ServiceCIDR)))
		case !free(Reservation{serviceIPs, ip.String()}):
			errs = append(errs, field.Invalid(path, s.Spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated", text)))
		}
	}
	return errs
}

// chooseIP begins to look at a place that the Service's name decides, so that few tries find a free one.
func chooseIP(s *corev1.Service, free func(Reservation) bool) (string, bool) {
	size := uint32(1)<<(32-ServiceCIDR.Bits()) - chosenIPsFrom - 1 // without the last one
	base := ServiceCIDR.Addr().As4()
	start := nameHash(s)
	for i := range size {
		offset := chosenIPsFrom + (start+i)%size
		ip := netip.AddrFrom4([4]byte{base[0], base[1], byte(offset >> 8), byte(offset)}).String()
		if free(Reservation{serviceIPs, ip}) {
			return ip, true
		}
	}
	return "", false
}

func nameHash(s *corev1.Service) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.Namespace + "/" + s.Name))
	return h.Sum32() >> 1 // so that adding to it does not overflow
}

func reservePorts(s *corev1.Service, free func(Reservation) bool) field.ErrorList {
	var errs field.ErrorList
	mine := nodePorts(s)
	take := func(path *field.Path, port *int32, sharedWith int32) {
		switch {
		case *port == 0 && sharedWith != 0:
			*port = sharedWith
		case *port == 0:
			chosen, ok := choosePort(s, mine, free)
			if !ok {
				errs = append(errs, field.InternalError(path, fmt.Errorf("every port from %d to %d belongs to a Service", firstNodePort, lastNodePort)))
				return
			}
			*port = chosen
			mine = append(mine, chosen)
		case *port < firstNodePort || *port > lastNodePort:
			errs = append(errs, field.Invalid(path, *port, fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", firstNodePort, lastNodePort)))
		case !free(portReservation(*port)):
			errs = append(errs, field.Invalid(path, *port, "provided port is already allocated"))
		}
	}
	if needsNodePorts(s) {
		for i := range s.Spec.Ports {
			take(specPath.Child("ports").Index(i).Child("nodePort"), &s.Spec.Ports[i].NodePort, sharedPort(s, i))
		}
	}
	if needsHealthPort(s) {
		take(specPath.Child("healthCheckNodePort"), &s.Spec.HealthCheckNodePort, 0)
	}
	return errs
}

// sharedPort is the node port of an earlier port with the same number and another protocol; 0 when there is none.
func sharedPort(s *corev1.Service, i int) int32 {
	for _, p := range s.Spec.Ports[:i] {
		if p.Port == s.Spec.Ports[i].Port && p.Protocol != s.Spec.Ports[i].Protocol {
			return p.NodePort
		}
	}
	return 0
}

func choosePort(s *corev1.Service, mine []int32, free func(Reservation) bool) (int32, bool) {
	const size = lastNodePort - chosenPortsFrom + 1
	start := nameHash(s)
	for i := range uint32(size) {
		port := chosenPortsFrom + int32((start+i)%size)
		if !slices.Contains(mine, port) && free(portReservation(port)) {
			return port, true
		}
	}
	return 0, false
}

func portReservation(port int32) Reservation {
	return Reservation{serviceNodePorts, strconv.Itoa(int(port))}
}

func heldByService(obj Object) []Reservation {
	s := obj.(*corev1.Service)
	var held []Reservation
	if hasClusterIP(s) {
		for _, ip := range s.Spec.ClusterIPs {
			if ip != corev1.ClusterIPNone {
				held = append(held, Reservation{serviceIPs, ip})
			}
		}
	}
	ports := nodePorts(s)
	if s.Spec.HealthCheckNodePort != 0 {
		ports = append(ports, s.Spec.HealthCheckNodePort)
	}
	slices.Sort(ports)
	for _, port := range slices.Compact(ports) {
		held = append(held, portReservation(port))
	}
	return held
}
