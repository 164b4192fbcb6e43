package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	gossipKeyBytes = 32
	// mostCrosses is how many rotations of the CA a node may sleep through and still trust the others when it is back.
	mostCrosses = 8
)

// Keys are what the nodes of a cluster share. A change makes new Keys of a higher generation; the newest are right.
type Keys struct {
	Generation uint64 `json:"generation"`
	// Authorities are the CAs that are trusted. The first signs.
	Authorities []Authority `json:"authorities"`
	// Crosses certify the key of a CA by the CA before it (PEM), the newest first: who knows only an old one follows them to the one
	// that signs.
	Crosses [][]byte `json:"crosses,omitempty"`
	// Gossip encrypts the gossip: all with the first key, and what is encrypted with another is understood too.
	Gossip []GossipKey `json:"gossip"`
}

// Authority is a CA of the cluster.
type Authority struct {
	Cert []byte `json:"cert"`          // PEM, self-signed
	Key  []byte `json:"key,omitempty"` // PEM; on servers, of the one that signs
	// Until is when it is no longer trusted; zero while it signs.
	Until time.Time `json:"until,omitzero"`
}

// Fingerprint is the SHA-256 of its certificate in hex.
func (a Authority) Fingerprint() string {
	cert, err := decodeCert(a.Cert)
	if err != nil {
		return ""
	}
	return Fingerprint(cert.Raw)
}

// GossipKey is for AES-256.
type GossipKey struct {
	Key   []byte    `json:"key"`
	Since time.Time `json:"since"`          // it was made
	Until time.Time `json:"until,omitzero"` // it is understood, once another encrypts
	// Overlap is how long the key before is understood once this one encrypts.
	Overlap time.Duration `json:"overlap"`
}

// ID names the key without telling it.
func (k GossipKey) ID() string {
	sum := sha256.Sum256(k.Key)
	return hex.EncodeToString(sum[:4])
}

// NewKeys makes those of a new cluster.
func NewKeys(now time.Time) (Keys, error) {
	ca, _, err := newAuthority()
	if err != nil {
		return Keys{}, fmt.Errorf("create the cluster CA: %w", err)
	}
	return Keys{Generation: 1, Authorities: []Authority{ca}, Gossip: []GossipKey{newGossipKey(now, 0)}}, nil
}

func newGossipKey(now time.Time, overlap time.Duration) GossipKey {
	key := make([]byte, gossipKeyBytes)
	_, _ = rand.Read(key) // never fails
	return GossipKey{Key: key, Since: now.UTC().Truncate(time.Second), Overlap: overlap}
}

// Current is the CA that signs.
func (k *Keys) Current() *Authority { return &k.Authorities[0] }

// Clone may be changed without k.
func (k *Keys) Clone() Keys {
	c := *k
	c.Authorities, c.Crosses, c.Gossip = slices.Clone(k.Authorities), slices.Clone(k.Crosses), slices.Clone(k.Gossip)
	return c
}

// ForWorker leaves out what only servers have: the private keys of the CAs.
func (k *Keys) ForWorker() Keys {
	c := k.Clone()
	for i := range c.Authorities {
		c.Authorities[i].Key = nil
	}
	return c
}

// ErrRotating is returned for a rotation while one is under way.
var ErrRotating = errors.New("a rotation is under way")

// RotateCA returns keys with a new CA that signs from now on. The old one is trusted for the overlap. Without one, as when a server was
// stolen, it does not wait for a rotation that is under way, and ends that.
func (k *Keys) RotateCA(now time.Time, overlap time.Duration) (Keys, error) {
	if len(k.Authorities) > 1 && overlap > 0 {
		return Keys{}, fmt.Errorf("%w: the old CA is trusted until %s; with --overlap 0s both are replaced at once", ErrRotating, k.Authorities[1].Until.Format(time.RFC3339))
	}
	fresh, key, err := newAuthority()
	if err != nil {
		return Keys{}, fmt.Errorf("create the new CA: %w", err)
	}
	cross, err := crossSign(fresh, key, k.Current())
	if err != nil {
		return Keys{}, fmt.Errorf("certify the new CA by the old one: %w", err)
	}
	next := k.Clone()
	next.Generation++
	old := *k.Current()
	old.Key, old.Until = nil, now.Add(overlap).UTC().Truncate(time.Second)
	next.Authorities = []Authority{fresh, old}
	next.Crosses = append([][]byte{cross}, next.Crosses[:min(len(next.Crosses), mostCrosses-1)]...)
	return next, nil
}

// RotateGossip returns keys with a new gossip key, which all nodes must have before it encrypts: Settle sees to that. From then on the
// old one is understood for the overlap. Without one it does not wait for a rotation that is under way.
func (k *Keys) RotateGossip(now time.Time, overlap time.Duration) (Keys, error) {
	if len(k.Gossip) > 1 && overlap > 0 {
		return Keys{}, fmt.Errorf("%w: of the gossip key; --overlap 0s does not wait for it", ErrRotating)
	}
	next := k.Clone()
	next.Generation++
	next.Gossip = append(next.Gossip[:1], newGossipKey(now, overlap))
	return next, nil
}

// Encode is for storing the keys, private ones included.
func (k *Keys) Encode() ([]byte, error) { return json.Marshal(k) }

// DecodeKeys reads what Encode wrote, and checks that it is usable.
func DecodeKeys(data []byte) (Keys, error) {
	var k Keys
	if err := json.Unmarshal(data, &k); err != nil {
		return Keys{}, err
	}
	_, err := k.open()
	return k, err
}

// open checks the keys and parses them.
func (k *Keys) open() (*opened, error) {
	if len(k.Authorities) == 0 || len(k.Gossip) == 0 {
		return nil, errors.New("there is no CA, or no gossip key")
	}
	for _, g := range k.Gossip {
		if len(g.Key) != gossipKeyBytes {
			return nil, fmt.Errorf("a gossip key has %d bytes, not %d", len(g.Key), gossipKeyBytes)
		}
	}
	o := &opened{Keys: k.Clone()}
	for i, a := range k.Authorities {
		cert, err := decodeCert(a.Cert)
		if err != nil {
			return nil, fmt.Errorf("CA %d: %w", i+1, err)
		}
		o.trusted = append(o.trusted, cert)
	}
	for i, data := range k.Crosses {
		cert, err := decodeCert(data)
		if err != nil {
			return nil, fmt.Errorf("cross-certificate %d: %w", i+1, err)
		}
		o.crosses = append(o.crosses, cert)
	}
	if signs := k.Current(); len(signs.Key) > 0 {
		key, err := decodeKey(signs.Key)
		if err != nil {
			return nil, fmt.Errorf("the CA's key: %w", err)
		}
		if !key.PublicKey.Equal(o.trusted[0].PublicKey) {
			return nil, errors.New("the CA's key does not belong to its certificate")
		}
		o.signer = key
	}
	return o, nil
}

// bundle is the certificates of all trusted CAs in PEM, that of the one that signs first.
func (k *Keys) bundle() []byte {
	var b bytes.Buffer
	for _, a := range k.Authorities {
		b.Write(a.Cert)
	}
	return b.Bytes()
}

// newAuthority makes a CA. It has no end: a cluster must not die on a site that nobody touches. What ends it is a rotation.
func newAuthority() (Authority, *ecdsa.PrivateKey, error) {
	key, err := newKey()
	if err != nil {
		return Authority{}, nil, err
	}
	der, err := newCA(key)
	if err != nil {
		return Authority{}, nil, err
	}
	data, err := encodeKey(key)
	return Authority{Cert: encodeCert(der), Key: data}, key, err
}
