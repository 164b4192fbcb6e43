package node

import (
	"fmt"
	"net/http"
)

// others are the other nodes as the agent asks them for images. It implements agent.Peers.
type others struct{ *base }

func (o others) Alive() []string {
	var names []string
	for _, m := range o.gossip.Members() {
		if m.ID != o.identity.NodeID() {
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
