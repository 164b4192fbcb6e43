package join

import (
	"time"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/store/protocol"
)

// Path is where a node asks to join, on the API's listener: it has no certificate of the cluster yet.
const Path = "/covey/join"

// request is what a new node says.
type request struct {
	TokenID string `json:"tokenID"`
	Secret  string `json:"secret"`
	NodeID  string `json:"nodeID"` // of its key
	Name    string `json:"name"`   // of its Node object
	// CSR is a worker's request for a certificate, which proves that it has the key of NodeID; empty from a server.
	CSR []byte `json:"csr,omitempty"`
	// Proof is a server's request for a certificate, which proves the same and is answered with none.
	Proof []byte `json:"proof,omitempty"`
	// Protocol is which protocol versions it speaks; one from before there were any says nothing.
	Protocol protocol.Range `json:"protocol"`
}

func (r *request) isWorker() bool { return r.CSR != nil }

// Grant is what it is handed.
type Grant struct {
	Keys  identity.Keys `json:"keys"`
	Seeds []string      `json:"seeds"` // host:port of nodes that are alive
	// Certificate is a worker's.
	Certificate []byte `json:"certificate,omitempty"`
	// Incarnation of the cluster.
	Incarnation uint64 `json:"incarnation,omitempty"`
	// Protocol is the version that the cluster has agreed on; 0 from a server that knows of none.
	Protocol int `json:"protocol,omitempty"`
	// Time is what the server's clock says: the new node's may never have been set.
	Time time.Time `json:"time"`
}
