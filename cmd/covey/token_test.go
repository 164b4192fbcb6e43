package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTokensAreListed(t *testing.T) {
	api := serve(t)
	api.reply("GET "+tokensPath, 200, `{"items":[
		{"metadata":{"name":"bootstrap-token-abcdef"},"data":{"expiration":"MjAyNi0wMy0wMVQxMjowMDowMFo=","uses":"Mg==","role":"d29ya2Vy"}},
		{"metadata":{"name":"bootstrap-token-zyxwvu"},"data":{}}]}`)
	api.reply("GET /covey/keys", 200, `{"now":"2026-03-02T00:00:00Z"}`)
	got := covey(t, "", "token", "list")
	for _, line := range []string{"abcdef   expired   2      worker", "zyxwvu   never     any    any"} {
		if !strings.Contains(got.out, line) {
			t.Errorf("no %q in\n%s%s", line, got.out, got.err)
		}
	}
	got = covey(t, "", "token", "list", "-o", "json")
	var tokens []listedToken
	if err := json.Unmarshal([]byte(got.out), &tokens); err != nil || len(tokens) != 2 {
		t.Fatalf("%v: %+v", err, got)
	}
	if first := tokens[0]; first.ID != "abcdef" || first.Expires != "2026-03-01T12:00:00Z" || !first.Expired || first.Uses != "2" || first.Role != "worker" {
		t.Errorf("%+v", first)
	}
	if second := tokens[1]; second.Expired || second.Expires != "" || second.Uses != "" {
		t.Errorf("%+v", second)
	}
}

func TestWrongArgumentsShowTheRightOnes(t *testing.T) {
	for line, want := range map[string]string{
		"token delete":         "Usage: covey token delete ID... [flags]",
		"backup":               "Usage: covey backup FILE|- [flags]",
		"image load a b":       "Usage: covey image load FILE|- [flags]",
		"token create another": "Usage: covey token create [flags]",
	} {
		got := covey(t, "", strings.Fields(line)...)
		if got.status != 1 || got.out != "" || !strings.HasPrefix(got.err, "error: ") || !strings.HasSuffix(got.err, "\n"+want+"\n") {
			t.Errorf("%s: %+v; want %q", line, got, want)
		}
	}
}

func TestTokenLimitsAreNotNegative(t *testing.T) {
	covey(t, "", "token", "create", "--ttl=-1h").want(t, 1, "", "error: --ttl -1h0m0s: want 0, which is for ever, or more\n")
	covey(t, "", "token", "create", "--uses=-1").want(t, 1, "", "error: --uses -1: want 0, which is any number, or more\n")
}
