package resolv

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestConf(t *testing.T) {
	two := "2"
	machine := "# made by hand\nnameserver 10.0.0.1\nsearch home.arpa\noptions ndots:1 edns0\n"
	for _, c := range []struct {
		name, machine string
		pod           *corev1.PodDNSConfig
		want          string
	}{
		{"nothing asked for", machine, nil, machine},
		{"added", machine, &corev1.PodDNSConfig{
			Nameservers: []string{"10.0.0.1", "1.1.1.1"}, Searches: []string{"shop.example"},
			Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "rotate"}},
		}, "search home.arpa shop.example\nnameserver 10.0.0.1\nnameserver 1.1.1.1\noptions edns0 ndots:2 rotate\n"},
		{"alone", "", &corev1.PodDNSConfig{Nameservers: []string{"1.1.1.1"}}, "nameserver 1.1.1.1\n"},
		{"no more than resolvers take", "", &corev1.PodDNSConfig{Nameservers: []string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"}}, "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\n"},
	} {
		if got := Conf(c.machine, c.pod); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestALoopbackResolverIsPassedBy(t *testing.T) {
	dir := t.TempDir()
	file, upstream := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "upstream")
	for _, c := range []struct{ file, upstream, want string }{
		{"", "", ""},
		{"nameserver 127.0.0.53\n", "", "nameserver 127.0.0.53\n"},
		{"nameserver 127.0.0.53\n", "nameserver 10.0.0.1\n", "nameserver 10.0.0.1\n"},
		{"nameserver 10.0.0.2\n", "nameserver 10.0.0.1\n", "nameserver 10.0.0.2\n"},
	} {
		for path, text := range map[string]string{file: c.file, upstream: c.upstream} {
			_ = os.Remove(path)
			if text != "" {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got, err := machine(file, upstream); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}
