package registrylogin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Remove takes the addresses out, and gives the users whose credentials they had. Those of other addresses that are the same user's go
// as well.
func (f Files) Remove(addresses []string) (users []string, err error) {
	err = f.change(func(auths map[string]json.RawMessage) error {
		gone := map[string]bool{}
		for _, address := range addresses {
			if user := userOf(auths[address]); user != "" && !gone[user] {
				gone[user] = true
				users = append(users, user)
			}
		}
		for address, entry := range auths {
			if gone[userOf(entry)] {
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
	return users, err
}

func userOf(entry json.RawMessage) string {
	var auth struct{ Auth []byte }
	if json.Unmarshal(entry, &auth) != nil {
		return ""
	}
	user, _, _ := strings.Cut(string(auth.Auth), ":")
	return user
}

// change edits the credentials in docker's configuration and leaves the rest of it as it is.
func (f Files) change(edit func(auths map[string]json.RawMessage) error) error {
	file := f.ConfigFile()
	config := map[string]json.RawMessage{}
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(content, &config); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
	}
	auths := map[string]json.RawMessage{}
	if len(config["auths"]) > 0 {
		if err := json.Unmarshal(config["auths"], &auths); err != nil {
			return fmt.Errorf("read %s: auths: %w", file, err)
		}
	}
	if err := edit(auths); err != nil {
		return err
	}
	if config["auths"], err = json.Marshal(auths); err != nil {
		return err
	}
	if content, err = json.MarshalIndent(config, "", "\t"); err != nil {
		return err
	}
	return replace(file, content)
}

// replace writes a file that only its owner may read, whole or not at all.
func replace(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".config-") // for its owner alone
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone when all went well
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
