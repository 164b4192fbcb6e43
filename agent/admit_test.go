package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestSysctlsOfOthersAreForbidden(t *testing.T) {
	for _, c := range []struct {
		name      string
		net, ipc  bool
		forbidden string
	}{
		{name: "net.ipv4.tcp_syncookies"},
		{name: "net/ipv4/tcp_syncookies"},
		{name: "kernel.shm_rmid_forced", net: true},
		{name: "kernel.shm_rmid_forced", ipc: true, forbidden: `"kernel.shm_rmid_forced" not allowed with host ipc enabled`},
		{name: "net.ipv4.tcp_syncookies", net: true, forbidden: `"net.ipv4.tcp_syncookies" not allowed with host net enabled`},
		{name: "kernel.panic", forbidden: `"kernel.panic" not allowlisted`},
		{name: "kernel.msgmax"},
		{name: "net.core.somaxconn"},
		{name: "net.ipv4.conf.eth0/1.rp_filter", forbidden: `"net.ipv4.conf.eth0/1.rp_filter" not allowlisted`},
	} {
		cfg := Config{UnsafeSysctls: []string{"kernel.msg*", "net.core.somaxconn"}}
		pod := &corev1.Pod{Spec: corev1.PodSpec{
			HostNetwork: c.net, HostIPC: c.ipc,
			SecurityContext: &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: c.name, Value: "1"}}},
		}}
		want := ""
		if c.forbidden != "" {
			want = "Pod was rejected: forbidden sysctl: " + c.forbidden
		}
		got := cfg.admit(pod)
		switch {
		case got == nil && want != "":
			t.Errorf("%s is admitted", c.name)
		case got != nil && (got.message != want || got.reason != "SysctlForbidden"):
			t.Errorf("%s: %s: %q, want %q", c.name, got.reason, got.message, want)
		}
	}
}

func TestPublishedPorts(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	port := func(host int32) []corev1.ContainerPort {
		return []corev1.ContainerPort{{ContainerPort: 80, HostPort: host, Protocol: corev1.ProtocolTCP}, {ContainerPort: 81}}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Ports: port(1)}, {RestartPolicy: &always, Ports: port(2)}},
		Containers:     []corev1.Container{{Ports: port(3)}},
	}}
	list, err := hostPorts(pod)
	if err != nil || len(list) != 2 || list[0].HostPort != 2 || list[1].HostPort != 3 || list[1].Port != 80 {
		t.Errorf("%+v, %v", list, err)
	}
	pod.Spec.Containers[0].Ports[0].HostIP = "::1"
	if _, err := hostPorts(pod); err == nil {
		t.Error("an IPv6 address is taken")
	}
}
