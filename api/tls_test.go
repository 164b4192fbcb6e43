package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"covey.dev/covey/api"
)

// clientCertificate is one that it signs itself, so its pool verifies it.
func clientCertificate(t *testing.T, subject pkix.Name) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Over TLS and HTTP/2 the client certificate says who asks.
func TestClientCertificate(t *testing.T) {
	var handler http.Handler
	start(t, func(c *api.Config) {
		tlsCfg := *c
		tlsCfg.Authenticate = nil
		var err error
		if handler, err = api.New(tlsCfg); err != nil {
			t.Fatal(err)
		}
	})
	cert, pool := clientCertificate(t, pkix.Name{CommonName: "kim", Organization: []string{"system:masters"}})
	web := httptest.NewUnstartedServer(handler)
	web.EnableHTTP2 = true
	web.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS13}
	web.StartTLS()
	defer web.Close()

	for name, c := range map[string]struct {
		certs []tls.Certificate
		code  int
	}{"with": {[]tls.Certificate{cert}, http.StatusOK}, "without": {nil, http.StatusUnauthorized}} {
		transport := web.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = c.certs
		resp, err := (&http.Client{Transport: transport}).Get(web.URL + "/api/v1/namespaces/default/configmaps")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
		if resp.StatusCode != c.code || resp.ProtoMajor != 2 {
			t.Errorf("%s a certificate: %s %d %s", name, resp.Proto, resp.StatusCode, body)
		}
	}
}
