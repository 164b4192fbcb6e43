package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// authority signs certificates for the tests: the cluster's own CA, or one that looks like it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// clusterKeys are what the nodes of a cluster share, as a node keeps them.
type clusterKeys struct {
	Authorities []struct{ Cert, Key []byte }
	Gossip      []struct{ Key []byte }
}

func stolenKeys(t *testing.T, n *harness.Node) clusterKeys {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(n.DataDir, "identity", "cluster.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys clusterKeys
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

// stolenCA has the key of the node's cluster.
func stolenCA(t *testing.T, n *harness.Node) authority {
	t.Helper()
	ca := stolenKeys(t, n).Authorities[0]
	certificate, _ := pem.Decode(ca.Cert)
	private, _ := pem.Decode(ca.Key)
	cert, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParseECPrivateKey(private.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// falseCA has the name of the cluster's CA, and another key.
func falseCA(t *testing.T, like authority) authority {
	t.Helper()
	key := newKey(t)
	tmpl := *like.cert
	tmpl.SignatureAlgorithm, tmpl.PublicKeyAlgorithm, tmpl.PublicKey = 0, 0, nil
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The organisations in the certificates of each.
var (
	servers = []string{"system:nodes", "covey:servers"}
	workers = []string{"system:nodes", "covey:workers"}
	masters = []string{"system:masters"}
)

// issue makes a client's certificate for a user in organisations, valid for an hour, or changed by change.
func (a authority) issue(t *testing.T, user string, organisations []string, change ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	return a.certify(t, newKey(t), user, organisations, change...)
}

// certify is issue for a key.
func (a authority) certify(t *testing.T, key *ecdsa.PrivateKey, user string, organisations []string, change ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: user, Organization: organisations},
		NotBefore:    time.Unix(0, 0), // as those of the cluster
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, c := range change {
		c(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }

func serversOnly(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }

// selfSigned has the node's own key, and is of no CA.
func selfSigned(t *testing.T, n *harness.Node) *tls.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(n.DataDir, "identity", "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
