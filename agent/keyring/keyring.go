package keyring

import (
	"cmp"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Credential is what a registry is told about who asks.
type Credential struct {
	Username, Password string
}

// Keyring holds credentials by the registries, or the parts of them, that they are for. The zero Keyring is empty.
type Keyring struct {
	keys []key
}

// key is a credential and what it is for.
type key struct {
	host, port string // host may hold * for parts of a name between dots
	path       string // a prefix of the repositories' names, without a slash at either end
	credential Credential
}

// dockerHub is how docker's files name the registry whose images are docker.io/...
const dockerHub = "index.docker.io"

// Add adds the keys of other after one's own.
func (k *Keyring) Add(other Keyring) { k.keys = append(k.keys, other.keys...) }

// add adds a credential for a server in the forms that docker's files have: "registry.example", "registry.example:5000/team",
// "*.registry.example", "https://index.docker.io/v1/".
func (k *Keyring) add(server string, c Credential) error {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return err
	}
	p := strings.Trim(u.Path, "/")
	for _, version := range []string{"v1", "v2"} { // of the registry's API, not of a repository
		if p == version || strings.HasPrefix(p, version+"/") {
			p = strings.Trim(strings.TrimPrefix(p, version), "/")
		}
	}
	k.keys = append(k.keys, key{host: canonicalHost(u.Hostname()), port: u.Port(), path: p, credential: c})
	return nil
}

func canonicalHost(host string) string {
	switch host {
	case "docker.io", "registry-1.docker.io":
		return dockerHub
	}
	return host
}

// For gives the credentials for an image by its full name ("registry.example/team/app:1"), the most specific first and
// each once.
func (k *Keyring) For(image string) []Credential {
	ref, err := reference.ParseDockerRef(image)
	if err != nil {
		return nil
	}
	return k.Lookup(reference.Domain(ref), reference.Path(ref))
}

// Lookup gives the credentials for a repository at a host ("registry.example:5000"), which is a mirror's when the image is
// fetched from one.
func (k *Keyring) Lookup(host, repository string) []Credential {
	var found []key
	for _, candidate := range k.keys {
		if candidate.matches(host, repository) {
			found = append(found, candidate)
		}
	}
	slices.SortStableFunc(found, func(a, b key) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(strings.Count(a.host, "*"), strings.Count(b.host, "*")))
	})
	var list []Credential
	for _, f := range found {
		if !slices.Contains(list, f.credential) {
			list = append(list, f.credential)
		}
	}
	return list
}

func (k *key) matches(hostport, repository string) bool {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = hostport, ""
	}
	if port != k.port || !strings.HasPrefix(repository, k.path) {
		return false
	}
	return sameHost(k.host, canonicalHost(host))
}

// sameHost matches part by part, so that * stands for one part only.
func sameHost(pattern, host string) bool {
	patterns, parts := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(patterns) != len(parts) {
		return false
	}
	for i := range parts {
		if ok, err := path.Match(patterns[i], parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
