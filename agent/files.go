package agent

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/resolv"
)

// writeFiles makes the files that every container of the pod gets: hosts, resolv.conf and hostname.
func (w *worker) writeFiles(pod *corev1.Pod) error {
	dir := filepath.Join(w.podDir(w.ref.UID), "etc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	machine := ""
	if pod.Spec.DNSPolicy != corev1.DNSNone {
		var err error
		if machine, err = resolv.Machine(); err != nil {
			return err
		}
	}
	files := map[string]string{
		"resolv.conf": resolv.Conf(machine, pod.Spec.DNSConfig),
		"hostname":    hostname(pod) + "\n",
		"hosts":       hostsFile(pod, w.podAddress()),
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if hasOnly(path, content) {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// hasOnly says whether that is all that is in a file. It reads no more than that takes: a container may have filled the file.
func hasOnly(path, content string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, int64(len(content))+1))
	return err == nil && string(data) == content
}

// etcMounts are the mounts of those files. A pod on the host's network gets copies too: it may write them.
func (w *worker) etcMounts(pod *corev1.Pod) []Mount {
	dir := filepath.Join(w.podDir(w.ref.UID), "etc")
	mounts := []Mount{
		{Source: filepath.Join(dir, "resolv.conf"), Target: "/etc/resolv.conf"},
		{Source: filepath.Join(dir, "hosts"), Target: "/etc/hosts"},
	}
	if !pod.Spec.HostNetwork {
		mounts = append(mounts, Mount{Source: filepath.Join(dir, "hostname"), Target: "/etc/hostname"})
	}
	return mounts
}

func hostsFile(pod *corev1.Pod, ip string) string {
	var b strings.Builder
	if pod.Spec.HostNetwork {
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
