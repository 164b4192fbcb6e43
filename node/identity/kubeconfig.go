package identity

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"

	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

const adminUser = "covey-admin"

// EnsureAdminKubeconfig writes an administrator's kubeconfig for the API at server ("https://127.0.0.1:7443") to file,
// mode 0600, unless the one there is for that server and CA and has more than a third of its life left. It returns when
// to call it again.
func (id *Identity) EnsureAdminKubeconfig(file, server string) (time.Time, error) {
	if until, ok := id.usableKubeconfig(file, server); ok {
		return until, nil
	}
	key, err := newKey()
	if err != nil {
		return time.Time{}, fmt.Errorf("create the administrator's key: %w", err)
	}
	cert, err := id.issueAdmin(adminUser, &key.PublicKey)
	if err != nil {
		return time.Time{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return time.Time{}, err
	}
	data, err := yaml.Marshal(kubeconfig(server, id.CAPEM(), encodeCert(cert.Raw), keyPEM))
	if err != nil {
		return time.Time{}, fmt.Errorf("encode the administrator's kubeconfig: %w", err)
	}
	if err := writeFile(file, data); err != nil {
		return time.Time{}, fmt.Errorf("write the administrator's kubeconfig: %w", err)
	}
	return renewAt(cert, adminLife), nil
}

func kubeconfig(server string, ca, cert, key []byte) *clientcmdv1.Config {
	return &clientcmdv1.Config{
		Kind:       "Config",
		APIVersion: "v1",
		Clusters: []clientcmdv1.NamedCluster{{
			Name:    "covey",
			Cluster: clientcmdv1.Cluster{Server: server, CertificateAuthorityData: ca},
		}},
		AuthInfos: []clientcmdv1.NamedAuthInfo{{
			Name:     adminUser,
			AuthInfo: clientcmdv1.AuthInfo{ClientCertificateData: cert, ClientKeyData: key},
		}},
		Contexts: []clientcmdv1.NamedContext{{
			Name:    "covey",
			Context: clientcmdv1.Context{Cluster: "covey", AuthInfo: adminUser},
		}},
		CurrentContext: "covey",
	}
}

// usableKubeconfig reports until when the kubeconfig in file needs no renewal.
func (id *Identity) usableKubeconfig(file, server string) (time.Time, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, false
	}
	var cfg clientcmdv1.Config
	if yaml.Unmarshal(data, &cfg) != nil || len(cfg.Clusters) != 1 || len(cfg.AuthInfos) != 1 {
		return time.Time{}, false
	}
	cluster, user := cfg.Clusters[0].Cluster, cfg.AuthInfos[0].AuthInfo
	cert, err := decodeCert(user.ClientCertificateData)
	if err != nil || cluster.Server != server || string(cluster.CertificateAuthorityData) != string(id.CAPEM()) {
		return time.Time{}, false
	}
	opts := x509.VerifyOptions{Roots: id.shared.Load().roots(), CurrentTime: id.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := cert.Verify(opts); err != nil || !id.now().Before(renewAt(cert, adminLife)) {
		return time.Time{}, false
	}
	return renewAt(cert, adminLife), true
}
