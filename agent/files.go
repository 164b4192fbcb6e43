package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// writeFiles makes the files that every container of the pod gets: hosts, resolv.conf and hostname.
func (w *worker) writeFiles(pod *corev1.Pod) error {
	dir := filepath.Join(w.podDir(w.ref.UID), "etc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	resolv, err := resolvConf(pod)
	if err != nil {
		return err
	}
	files := map[string]string{"resolv.conf": resolv, "hostname": hostname(pod) + "\n"}
	if hosts := hostsFile(pod, w.podIP); hosts != "" {
		files["hosts"] = hosts
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if old, err := os.ReadFile(path); err == nil && string(old) == content {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// etcMounts are the mounts of those files. A pod on the host's network has the host's own hosts file.
func (w *worker) etcMounts(pod *corev1.Pod) []Mount {
	dir := filepath.Join(w.podDir(w.ref.UID), "etc")
	mounts := []Mount{{Source: filepath.Join(dir, "resolv.conf"), Target: "/etc/resolv.conf"}}
	if !pod.Spec.HostNetwork {
		mounts = append(mounts, Mount{Source: filepath.Join(dir, "hostname"), Target: "/etc/hostname"})
	}
	hosts := filepath.Join(dir, "hosts")
	if pod.Spec.HostNetwork && len(pod.Spec.HostAliases) == 0 {
		hosts = "/etc/hosts"
	}
	return append(mounts, Mount{Source: hosts, Target: "/etc/hosts"})
}

func hostsFile(pod *corev1.Pod, ip string) string {
	var b strings.Builder
	if pod.Spec.HostNetwork {
		if len(pod.Spec.HostAliases) == 0 {
			return ""
		}
		if host, err := os.ReadFile("/etc/hosts"); err == nil {
			b.Write(host)
		}
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
		fmt.Fprintf(&b, "%s\t%s\n", ip, hostname(pod))
	}
	for _, alias := range pod.Spec.HostAliases {
		fmt.Fprintf(&b, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
	}
	return b.String()
}

// resolvConf is the machine's resolver configuration, or with dnsPolicy None only what dnsConfig says.
func resolvConf(pod *corev1.Pod) (string, error) {
	var host string
	if pod.Spec.DNSPolicy != corev1.DNSNone {
		data, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !os.IsNotExist(err) {
			return "", fmt.Errorf("read the machine's resolver configuration: %w", err)
		}
		host = string(data)
	}
	cfg := pod.Spec.DNSConfig
	if cfg == nil {
		return host, nil
	}
	var b strings.Builder
	b.WriteString(host)
	if host != "" && !strings.HasSuffix(host, "\n") {
		b.WriteByte('\n')
	}
	if len(cfg.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(cfg.Searches, " "))
	}
	for _, server := range cfg.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(cfg.Options) > 0 {
		b.WriteString("options")
		for _, o := range cfg.Options {
			b.WriteString(" " + o.Name)
			if o.Value != nil {
				b.WriteString(":" + *o.Value)
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
