package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/registrylogin"
)

// A login is kept as a Secret of this name and type, which each server looks at. It has the password's hash.
const (
	loginPrefix = "covey-registry-login-"
	dockerDir   = "/etc/docker"
	loginType   = corev1.SecretType("covey.dev/registry-login")
)

func newRegistryCommand(base *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry COMMAND",
		Short: "Push images to the cluster with docker, skopeo or crane; list and remove what was pushed",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	base.addFlags(cmd.PersistentFlags())
	cmd.AddCommand(newRegistryLogin(base), newRegistryLogout(base), newRegistryList(base), newRegistryRemove(base))
	return cmd
}

func newRegistryLogin(base *options) *cobra.Command {
	var ttl time.Duration
	var show bool
	cmd := &cobra.Command{
		Use:   "login [ADDRESS...]",
		Short: "Let docker, skopeo and crane of this user push to and pull from the cluster's nodes",
		Long: `Creates a login to the cluster's registry and writes it where docker, podman, skopeo and crane look:
the credential into ~/.docker/config.json, the cluster's CA into ~/.config/containers/certs.d, and as
root, where there is docker, into /etc/docker/certs.d as well. The addresses are those of nodes, with their port; without any
it is the one that the kubeconfig names. crane reads the CA from $SSL_CERT_FILE.`,
		Example: "  covey registry login 192.0.2.7:7443\n  docker push 192.0.2.7:7443/hello:1.0   # pods call it covey.local/hello:1.0",
		RunE:    func(cmd *cobra.Command, args []string) error { return registryLogin(base, cmd, args, ttl, show) },
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long it is good for; 0 is until covey registry logout")
	cmd.Flags().BoolVar(&show, "show", false, "print the user and the password, and write no files")
	return cmd
}

func registryLogin(base *options, cmd *cobra.Command, addresses []string, ttl time.Duration, show bool) error {
	if ttl < 0 {
		return errors.New("--ttl: want 0 (no limit) or more")
	}
	s, err := base.open(cmd)
	if err != nil {
		return err
	}
	if addresses, err = s.registryAddresses(addresses); err != nil {
		return err
	}
	ca, err := s.CA()
	if err != nil {
		return err
	}
	user, password := randomText(8), randomText(32)
	if err := s.createLogin(user, password, ttl); err != nil {
		return err
	}
	if show {
		s.say("%s %s", user, password)
		return nil
	}
	files, err := loginFiles()
	if err != nil {
		return err
	}
	err = s.endReplaced(files, addresses)
	if err == nil {
		err = files.Add(addresses, user, password, ca)
	}
	if err != nil {
		return errors.Join(err, s.deleteLogin(user))
	}
	s.say("Logged in to %s as %s", strings.Join(addresses, ", "), user)
	s.say("Credential: %s", files.ConfigFile())
	for _, address := range addresses {
		s.say("CA: %s", strings.Join(files.CertificateFiles(address), ", "))
	}
	s.note("crane reads the CA from SSL_CERT_FILE=%s", files.CertificateFiles(addresses[0])[0])
	if files.Docker == "" {
		s.note("docker's daemon reads it from %s/certs.d/%s/ca.crt, where root may copy it", dockerDir, addresses[0])
	}
	return nil
}

// registryAddresses are those that were named, or the API server's.
func (s *session) registryAddresses(named []string) ([]string, error) {
	for _, address := range named {
		if address == "" || strings.Contains(address, "/") {
			return nil, fmt.Errorf("%q: want the address of a node as images are named by it, such as 192.0.2.7:7443", address)
		}
	}
	if len(named) > 0 {
		return named, nil
	}
	u, err := url.Parse(s.Server())
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the kubeconfig's server %q is not an address: name that of a node", s.Server())
	}
	return []string{u.Host}, nil
}

func loginFiles() (registrylogin.Files, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return registrylogin.Files{}, err
	}
	files := registrylogin.Files{Home: home, DockerConfig: os.Getenv("DOCKER_CONFIG")}
	if _, err := os.Stat(dockerDir); err == nil && os.Getuid() == 0 {
		files.Docker = dockerDir
	}
	return files, nil
}

func (s *session) createLogin(user, password string, ttl time.Duration) error {
	sum := sha256.Sum256([]byte(password))
	object := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: loginPrefix + user, Namespace: metav1.NamespaceSystem},
		Type:       loginType,
		StringData: map[string]string{"password-sha256": hex.EncodeToString(sum[:])},
	}
	if ttl > 0 {
		now, err := s.clusterTime()
		if err != nil {
			return err
		}
		object.StringData["expiration"] = now.Add(ttl).UTC().Format(time.RFC3339)
	}
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, _, err = s.Do(s.ctx(), client.Request{Method: http.MethodPost, Path: tokensPath, Query: managed(), ContentType: client.JSON, Body: bytes.NewReader(body)})
	return err
}

func newRegistryLogout(base *options) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [ADDRESS...]",
		Short: "Take a login back, and out of this user's files",
		RunE: func(cmd *cobra.Command, addresses []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			if addresses, err = s.registryAddresses(addresses); err != nil {
				return err
			}
			files, err := loginFiles()
			if err != nil {
				return err
			}
			users, err := files.Users(addresses)
			if err != nil {
				return err
			}
			if len(users) == 0 {
				return fmt.Errorf("%s has no login to %s", files.ConfigFile(), strings.Join(addresses, ", "))
			}
			// The files are the last to know which login to take back.
			if err := forEach(users, s.deleteLogin); err != nil {
				return err
			}
			if err := files.Remove(addresses, users); err != nil {
				return err
			}
			s.say("Logged out: %s", strings.Join(users, ", "))
			return nil
		},
	}
}

// endReplaced takes back the logins that the files will not have any more once the addresses have another. It comes before that: the
// files are the last to know which they are, and keep those that cannot be taken back now.
func (s *session) endReplaced(files registrylogin.Files, addresses []string) error {
	users, err := files.Replaced(addresses)
	if err != nil {
		return err
	}
	if err := forEach(users, s.deleteLogin); err != nil {
		return fmt.Errorf("take back the login before this one: %w", err)
	}
	return nil
}

// deleteLogin takes a login back; one that is gone is no error.
func (s *session) deleteLogin(user string) error {
	_, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodDelete, Path: tokensPath + "/" + loginPrefix + user})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("login %s: %w", user, err)
	}
	return nil
}
