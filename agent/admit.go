package agent

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// safeSysctls are the kernel parameters that a pod may set: each pod has its own, and it bothers no other.
var safeSysctls = []string{
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle",
	"net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}

// admit says why this node does not take a pod that was placed on it; nil when it does. The pod fails then, with the reason
// that a kubelet would give.
func (c *Config) admit(pod *corev1.Pod) *evicted {
	if forbidden := c.forbiddenSysctl(pod); forbidden != "" {
		return &evicted{reason: "SysctlForbidden", message: "Pod was rejected: forbidden sysctl: " + forbidden}
	}
	if needsAppArmor(pod) && !hasAppArmor(c.sys) {
		return &evicted{reason: "AppArmor", message: "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"}
	}
	return nil
}

func (c *Config) forbiddenSysctl(pod *corev1.Pod) string {
	sc := pod.Spec.SecurityContext
	if sc == nil {
		return ""
	}
	for _, s := range sc.Sysctls {
		name := normalSysctl(s.Name)
		net := strings.HasPrefix(name, "net.")
		switch {
		case !slices.Contains(safeSysctls, name) && !slices.ContainsFunc(c.UnsafeSysctls, func(p string) bool { return sysctlMatches(p, name) }):
			return fmt.Sprintf("%q not allowlisted", name)
		case net && pod.Spec.HostNetwork:
			return fmt.Sprintf("%q not allowed with host net enabled", name)
		case !net && pod.Spec.HostIPC:
			return fmt.Sprintf("%q not allowed with host ipc enabled", name)
		}
	}
	return ""
}

// sysctlMatches compares a name with what the operator allows: a name, or a beginning that ends in an asterisk.
func sysctlMatches(pattern, name string) bool {
	pattern = normalSysctl(pattern)
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// normalSysctl writes a name with dots where it has slashes, and the other way round: eth0.1 is net/ipv4/conf/eth0.1.
func normalSysctl(name string) string {
	if at := strings.IndexAny(name, "./"); at < 0 || name[at] == '.' {
		return name
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(name)
}
