package registrylogin

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	f := Files{Home: t.TempDir()}
	if err := os.MkdirAll(f.Home+"/.docker", 0o700); err != nil {
		t.Fatal(err)
	}
	other := `{"credHelpers":{"gcr.io":"gcr"},"auths":{"other.example":{"auth":"bWU6c2VjcmV0"}}}`
	if err := os.WriteFile(f.ConfigFile(), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Add([]string{"10.0.0.7:7443", "10.0.0.8:7443"}, "u1", "p:1", []byte("the authority")); err != nil {
		t.Fatal(err)
	}
	config := read(t, f.ConfigFile())
	for _, want := range []string{`"10.0.0.7:7443"`, `"10.0.0.8:7443"`, "dTE6cDox", "bWU6c2VjcmV0", `"gcr.io"`} {
		if !strings.Contains(config, want) {
			t.Errorf("no %s in %s", want, config)
		}
	}
	if got := read(t, f.CertificateFiles("10.0.0.8:7443")[0]); got != "the authority" {
		t.Errorf("the certificate is %q", got)
	}
	users, err := f.Users([]string{"10.0.0.7:7443"})
	if err != nil || !slices.Equal(users, []string{"u1"}) {
		t.Errorf("the users are %v, %v", users, err)
	}
	for replaced, addresses := range map[string][]string{"": {"10.0.0.7:7443"}, "u1": {"10.0.0.8:7443", "10.0.0.7:7443"}, "me": {"other.example"}} {
		if got, err := f.Replaced(addresses); err != nil || strings.Join(got, " ") != replaced {
			t.Errorf("another user at %q replaces %q, %v, want %q", addresses, got, err, replaced)
		}
	}
	if err := f.Remove([]string{"10.0.0.7:7443"}, users); err != nil {
		t.Error(err)
	}
	if config := read(t, f.ConfigFile()); strings.Contains(config, "10.0.0") || !strings.Contains(config, "other.example") {
		t.Errorf("left is %s", config)
	}
	if _, err := os.Stat(f.CertificateFiles("10.0.0.8:7443")[0]); err == nil {
		t.Error("the certificate is still there")
	}
}

// TestAConfigFileThatIsALinkStaysOne: users keep such files elsewhere, under version control.
func TestAConfigFileThatIsALinkStaysOne(t *testing.T) {
	f := Files{Home: t.TempDir()}
	kept := filepath.Join(t.TempDir(), "docker.json")
	if err := errors.Join(os.WriteFile(kept, []byte("{}"), 0o600), os.MkdirAll(f.Home+"/.docker", 0o700), os.Symlink(kept, f.ConfigFile())); err != nil {
		t.Fatal(err)
	}
	if err := f.Add([]string{"10.0.0.7:7443"}, "u1", "p:1", nil); err != nil {
		t.Fatal(err)
	}
	if at, err := os.Readlink(f.ConfigFile()); at != kept {
		t.Errorf("the link leads to %q: %v", at, err)
	}
	if config := read(t, kept); !strings.Contains(config, "10.0.0.7") {
		t.Errorf("the file has %s", config)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
