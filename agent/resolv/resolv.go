// Package resolv makes the resolver configuration of a pod.
//
// What comes in: the machine's resolver configuration and the pod's dnsConfig. What goes out: the text of resolv.conf. The
// agent calls it when it sets a pod up.
package resolv

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	// machineFile is what the machine's own programs use.
	machineFile = "/etc/resolv.conf"
	// upstreamFile is where systemd-resolved lists the servers that it asks itself.
	upstreamFile = "/run/systemd/resolve/resolv.conf"
)

// What resolvers take at most, as Kubernetes has it.
const (
	maxServers  = 3
	maxSearches = 32
)

// Machine reads the machine's resolver configuration. A resolver on a loopback address cannot be reached from a pod:
// then it is the configuration of the servers behind it, where there is one.
func Machine() (string, error) { return machine(machineFile, upstreamFile) }

func machine(file, upstream string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the machine's resolver configuration: %w", err)
	}
	if onlyLoopback(parse(string(data)).servers) {
		if behind, err := os.ReadFile(upstream); err == nil {
			return string(behind), nil
		}
	}
	return string(data), nil
}

func onlyLoopback(servers []string) bool {
	return len(servers) > 0 && !slices.ContainsFunc(servers, func(server string) bool {
		addr, err := netip.ParseAddr(server)
		return err != nil || !addr.IsLoopback()
	})
}

// Conf puts what the pod asks for behind what the machine has; of an option that both set the pod's value counts.
func Conf(machine string, pod *corev1.PodDNSConfig) string {
	if pod == nil {
		return machine
	}
	c := parse(machine)
	c.servers = merged(c.servers, pod.Nameservers, maxServers)
	c.searches = merged(c.searches, pod.Searches, maxSearches)
	for _, o := range pod.Options {
		option := o.Name
		if o.Value != nil {
			option += ":" + *o.Value
		}
		c.options = append(slices.DeleteFunc(c.options, func(old string) bool {
			name, _, _ := strings.Cut(old, ":")
			return name == o.Name
		}), option)
	}
	return c.String()
}

// merged is a and b without what is there twice, no more than most.
func merged(a, b []string, most int) []string {
	var all []string
	for _, s := range slices.Concat(a, b) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all[:min(len(all), most)]
}

type conf struct{ servers, searches, options []string }

func parse(text string) conf {
	var c conf
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			c.servers = append(c.servers, words[1])
		case "search":
			c.searches = words[1:] // the last line counts
		case "options":
			c.options = append(c.options, words[1:]...)
		}
	}
	return c
}

func (c conf) String() string {
	var b strings.Builder
	if len(c.searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.searches, " "))
	}
	for _, server := range c.servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(c.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(c.options, " "))
	}
	return b.String()
}
