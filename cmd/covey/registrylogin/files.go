package registrylogin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files says where the programs look, for the user whose home directory that is.
type Files struct {
	Home         string
	DockerConfig string // $DOCKER_CONFIG
	Docker       string // where docker's daemon looks for certificates, /etc/docker; "" for not
}

// ConfigFile holds the credentials.
func (f Files) ConfigFile() string {
	dir := f.DockerConfig
	if dir == "" {
		dir = filepath.Join(f.Home, ".docker")
	}
	return filepath.Join(dir, "config.json")
}

// CertificateFiles are the files for the authority of a registry's certificate; the first is always written.
func (f Files) CertificateFiles(address string) []string {
	files := []string{filepath.Join(f.Home, ".config", "containers", "certs.d", address, "ca.crt")}
	if f.Docker != "" {
		files = append(files, filepath.Join(f.Docker, "certs.d", address, "ca.crt"))
	}
	return files
}

// Add keeps a credential for each address, and who is the authority there. Other registries' credentials stay.
func (f Files) Add(addresses []string, user, password string, authority []byte) error {
	err := f.change(func(auths map[string]json.RawMessage) error {
		for _, address := range addresses {
			entry, err := json.Marshal(map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))})
			if err != nil {
				return err
			}
			auths[address] = entry
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, address := range addresses {
		for _, file := range f.CertificateFiles(address) {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, authority, 0o644); err != nil { //nolint:gosec // a certificate is for all to read
				return err
			}
		}
	}
	return nil
}

// Users are those whose credentials the addresses have.
func (f Files) Users(addresses []string) (users []string, err error) {
	_, auths, err := f.read()
	for _, address := range addresses {
		if user := userOf(auths[address]); user != "" && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users, err
}

// Replaced are those whose credentials no address has any more once these have another.
func (f Files) Replaced(addresses []string) ([]string, error) {
	users, err := f.Users(addresses)
	if err != nil {
		return nil, err
	}
	_, auths, err := f.read()
	for address, entry := range auths {
		if user := userOf(entry); !slices.Contains(addresses, address) {
			users = slices.DeleteFunc(users, func(u string) bool { return u == user })
		}
	}
	return users, err
}

// Remove takes the addresses out, and those of other addresses that are the same users'.
func (f Files) Remove(addresses, users []string) error {
	addresses = slices.Clone(addresses)
	err := f.change(func(auths map[string]json.RawMessage) error {
		for address, entry := range auths {
			if slices.Contains(users, userOf(entry)) {
				delete(auths, address)
				addresses = append(addresses, address)
			}
		}
		return nil
	})
	for _, address := range addresses {
		for _, file := range f.CertificateFiles(address) {
			if e := os.Remove(file); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
			_ = os.Remove(filepath.Dir(file)) // unless there is something else
		}
	}
	return err
}

func userOf(entry json.RawMessage) string {
	var auth struct{ Auth []byte }
	if json.Unmarshal(entry, &auth) != nil {
		return ""
	}
	user, _, _ := strings.Cut(string(auth.Auth), ":")
	return user
}

// read is docker's configuration, and the credentials in it.
func (f Files) read() (config, auths map[string]json.RawMessage, err error) {
	config, auths = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	file := f.ConfigFile()
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return config, auths, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &config)
	}
	if err == nil && len(config["auths"]) > 0 {
		err = json.Unmarshal(config["auths"], &auths)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", file, err)
	}
	return config, auths, nil
}

// change edits the credentials in docker's configuration and leaves the rest of it as it is.
func (f Files) change(edit func(auths map[string]json.RawMessage) error) error {
	config, auths, err := f.read()
	if err != nil {
		return err
	}
	if err := edit(auths); err != nil {
		return err
	}
	if config["auths"], err = json.Marshal(auths); err != nil {
		return err
	}
	content, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return err
	}
	return replace(f.ConfigFile(), content)
}

// replace writes a file that only its owner may read, whole or not at all. One that is a link stays one: it may lead to where the user
// keeps such files.
func replace(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if place, err := filepath.EvalSymlinks(file); err == nil {
		file = place
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".config-") // for its owner alone
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone when all went well
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
