package node

import (
	"crypto/x509"
	"fmt"
	"net/http"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
)

// others are the other nodes as the agent asks them for images. It implements agent.Peers.
type others struct{ *base }

func (o others) Alive() []string { return o.named(func(gossip.Member) bool { return true }) }

func (o others) Servers() []string {
	return o.named(func(m gossip.Member) bool { return !m.Worker && !m.Witness })
}

func (o others) named(is func(gossip.Member) bool) (names []string) {
	for _, m := range o.gossip.Members() {
		if m.ID != o.identity.NodeID() && is(m) {
			names = append(names, m.Name)
		}
	}
	return names
}

func (o others) RoundTrip(req *http.Request) (*http.Response, error) {
	m, ok := o.gossip.Named(req.URL.Host)
	if !ok {
		return nil, fmt.Errorf("node %q: %w", req.URL.Host, errNoNode)
	}
	return o.peers.ToAgent(m.ID, req)
}

func (o others) OfServer(answer *http.Response) bool {
	if answer.TLS == nil {
		return false
	}
	node, err := o.serverCert.NodeOf(answer.TLS.PeerCertificates, x509.ExtKeyUsageServerAuth)
	return err == nil && node.Role == identity.RoleServer
}
