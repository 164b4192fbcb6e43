package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
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

// stolenCA has the key of the node's cluster.
func stolenCA(t *testing.T, n *harness.Node) authority {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(n.DataDir, "identity", name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		return block.Bytes
	}
	cert, err := x509.ParseCertificate(read("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParseECPrivateKey(read("ca.key"))
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
	key := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: user, Organization: organisations},
		NotBefore:    time.Now().Add(-time.Hour),
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

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = c.NotBefore.Add(-48*time.Hour), c.NotAfter.Add(-48*time.Hour)
}

func serversOnly(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
