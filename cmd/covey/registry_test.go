package main

import (
	"net/http"
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

func TestARegistryIsNoURL(t *testing.T) {
	serve(t)
	loggedIn(t)
	for _, command := range []string{"login", "logout"} {
		covey(t, "", "registry", command, "https://192.0.2.7:7443").want(t, 1, "",
			"error: \"https://192.0.2.7:7443\": want the address of a node as images are named by it, such as 192.0.2.7:7443\n")
	}
}
