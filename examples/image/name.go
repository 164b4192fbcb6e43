package main

import "strings"

// fullName writes a short name as container tools do: hello:1.0 is docker.io/library/hello:1.0.
func fullName(name string) string {
	if tag(name) == "" {
		name += ":latest"
	}
	host, _, slash := strings.Cut(name, "/")
	switch {
	case !slash:
		return "docker.io/library/" + name
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return "docker.io/" + name
	}
	return name
}

// tag is what follows the last colon, unless that is a port.
func tag(name string) string {
	i := strings.LastIndex(name, ":")
	if i < 0 || strings.Contains(name[i:], "/") {
		return ""
	}
	return name[i+1:]
}
