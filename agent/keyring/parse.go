package keyring

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// servers is the part of docker's file that holds credentials, by server.
type servers map[string]struct {
	Username, Password string
	Auth               string // base64 of user:password
}

// FromSecret reads a Secret of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg.
func FromSecret(secret *corev1.Secret) (Keyring, error) {
	if data, ok := secret.Data[corev1.DockerConfigJsonKey]; ok {
		return Parse(data)
	}
	data, ok := secret.Data[corev1.DockerConfigKey]
	if !ok {
		return Keyring{}, fmt.Errorf("it has neither %s nor %s", corev1.DockerConfigJsonKey, corev1.DockerConfigKey)
	}
	var list servers
	if err := json.Unmarshal(data, &list); err != nil {
		return Keyring{}, fmt.Errorf("%s is not what docker writes: %w", corev1.DockerConfigKey, err)
	}
	return list.keyring()
}

// FromFile reads a file as docker keeps it in ~/.docker/config.json. An absent file is an empty keyring.
func FromFile(name string) (Keyring, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Keyring{}, nil
	}
	if err != nil {
		return Keyring{}, err
	}
	k, err := Parse(data)
	if err != nil {
		return Keyring{}, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
}

// Parse reads docker's config.json.
func Parse(data []byte) (Keyring, error) {
	var file struct{ Auths servers }
	if err := json.Unmarshal(data, &file); err != nil {
		return Keyring{}, fmt.Errorf("it is not a docker config.json: %w", err)
	}
	return file.Auths.keyring()
}

func (s servers) keyring() (Keyring, error) {
	var k Keyring
	for _, server := range slices.Sorted(maps.Keys(s)) {
		entry := s[server]
		c := Credential{Username: entry.Username, Password: entry.Password}
		if c.Username == "" && entry.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(entry.Auth))
			if err != nil {
				return Keyring{}, fmt.Errorf("auth of %s is not base64: %w", server, err)
			}
			var whole bool
			if c.Username, c.Password, whole = strings.Cut(string(plain), ":"); !whole {
				return Keyring{}, fmt.Errorf("auth of %s is not user:password", server)
			}
		}
		if err := k.add(server, c); err != nil {
			return Keyring{}, fmt.Errorf("server %q: %w", server, err)
		}
	}
	return k, nil
}
