package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const loginPath = tokensPath + "/" + loginPrefix + "u1"

// loggedIn has a user be logged in to a node.
func loggedIn(t *testing.T) (config string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
	config = filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, []byte(`{"auths":{"192.0.2.7:7443":{"auth":"dTE6cDox"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// count says how many requests there were that begin so.
func (f *fakeAPI) count(beginning string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.requests {
		if strings.HasPrefix(r, beginning) {
			n++
		}
	}
	return n
}

// TestALoginThatIsNotTakenBackIsNotForgotten: what is in the files is all that is known of it.
func TestALoginThatIsNotTakenBackIsNotForgotten(t *testing.T) {
	api, config := serve(t), loggedIn(t)
	api.reply("DELETE "+loginPath, http.StatusServiceUnavailable, status(503, "ServiceUnavailable", "no majority"))
	got := covey(t, "", "registry", "logout", "192.0.2.7:7443")
	if content, _ := os.ReadFile(config); got.status != 1 || !strings.Contains(string(content), "dTE6cDox") {
		t.Errorf("after %+v the file has %s", got, content)
	}
	api.reply("DELETE "+loginPath, http.StatusNotFound, status(404, "NotFound", "it was deleted before"))
	covey(t, "", "registry", "logout", "192.0.2.7:7443").want(t, 0, "Logged out: u1\n", "")
	if content, _ := os.ReadFile(config); strings.Contains(string(content), "dTE6cDox") {
		t.Errorf("after the logout the file has %s", content)
	}
}

// serveTLS serves it with a CA, which logins are written with, and makes that the server of $KUBECONFIG.
func (f *fakeAPI) serveTLS() {
	f.Helper()
	server := httptest.NewTLSServer(f)
	f.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q,"certificate-authority-data":%q}}],
		"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}`, server.URL, base64.StdEncoding.EncodeToString(ca))
	if err := os.WriteFile(os.Getenv("KUBECONFIG"), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// TestANewLoginTakesTheOldOneBack, which is in no file any more. While it cannot, the files keep the old one.
func TestANewLoginTakesTheOldOneBack(t *testing.T) {
	api, config := serve(t), loggedIn(t)
	api.serveTLS()
	api.reply("POST "+tokensPath, http.StatusCreated, `{}`)
	var deleted []string
	refused := true
	api.handle("DELETE "+loginPath, func(w http.ResponseWriter, _ *http.Request) {
		if refused {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, status(503, "ServiceUnavailable", "no majority"))
			return
		}
		deleted = append(deleted, "u1")
		_, _ = io.WriteString(w, `{}`)
	})
	login := func() (result, string) {
		got := covey(t, "", "registry", "login", "192.0.2.7:7443")
		content, _ := os.ReadFile(config)
		return got, string(content)
	}
	if got, content := login(); got.status != 1 || !strings.Contains(got.err, "login u1: no majority") || !strings.Contains(content, "dTE6cDox") {
		t.Errorf("%+v, then the file has %s", got, content)
	}
	if made, ended := api.count("POST "), api.count("DELETE "+tokensPath)-api.count("DELETE "+loginPath); made != 1 || ended != 1 {
		t.Errorf("%d logins were made, and %d of them taken back", made, ended)
	}
	refused = false
	if got, content := login(); got.status != 0 || strings.Contains(content, "dTE6cDox") || len(deleted) != 1 {
		t.Errorf("%+v, then the file has %s; taken back: %v", got, content, deleted)
	}
}

func TestARegistryIsNoURL(t *testing.T) {
	serve(t)
	loggedIn(t)
	for _, command := range []string{"login", "logout"} {
		covey(t, "", "registry", command, "https://192.0.2.7:7443").want(t, 1, "",
			"error: \"https://192.0.2.7:7443\": want the address of a node as images are named by it, such as 192.0.2.7:7443\n")
	}
}
