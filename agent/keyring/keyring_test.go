package keyring

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestFor(t *testing.T) {
	k, err := Parse([]byte(`{"auths": {
		"https://index.docker.io/v1/": {"auth": "aHViOnA6dw=="},
		"registry.example": {"username": "all", "password": "1"},
		"registry.example/team": {"username": "team", "password": "2"},
		"registry.example:5000": {"username": "port", "password": "3"},
		"*.wild.example": {"username": "wild", "password": "4"},
		"http://plain.example/v2/": {"username": "plain", "password": "5"}
	}}`))
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string][]string{
		"busybox":                        {"hub"},
		"docker.io/me/app:1":             {"hub"},
		"registry.example/app":           {"all"},
		"registry.example/team/app:1":    {"team", "all"},
		"registry.example:5000/app":      {"port"},
		"a.wild.example/app":             {"wild"},
		"a.b.wild.example/app":           nil,
		"wild.example/app":               nil,
		"plain.example/app":              {"plain"},
		"other.example/registry.example": nil,
		"Not A Name":                     nil,
	} {
		var got []string
		for _, c := range k.For(image) {
			got = append(got, c.Username)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", image, got, want)
		}
	}
	if c := k.For("busybox"); c[0].Password != "p:w" {
		t.Errorf("a password with a colon: %q", c[0].Password)
	}
	if c := k.Lookup("registry-1.docker.io", "library/busybox"); len(c) != 1 {
		t.Errorf("docker's registry under its own name: %v", c)
	}
}

func TestSecretsOfBothTypes(t *testing.T) {
	both := Keyring{}
	for _, data := range []map[string][]byte{
		{corev1.DockerConfigKey: []byte(`{"registry.example": {"username": "old", "password": "1"}}`)},
		{corev1.DockerConfigJsonKey: []byte(`{"auths": {"registry.example": {"username": "new", "password": "2"}}}`)},
	} {
		k, err := FromSecret(&corev1.Secret{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		both.Add(k)
	}
	want := []Credential{{"old", "1"}, {"new", "2"}}
	if got := both.For("registry.example/app"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	for data, want := range map[string]string{
		`{"auths": {"a": {"auth": "%"}}}`:        "auth of a is not base64",
		`{"auths": {"a": {"auth": "bm9uZQ=="}}}`: "auth of a is not user:password",
		`nothing`:                                "it is not a docker config.json",
		`{"auths": {"a b%": {"username": "u"}}}`: `server "a b%"`,
	} {
		if _, err := Parse([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
	if _, err := FromSecret(&corev1.Secret{}); err == nil || !strings.Contains(err.Error(), ".dockerconfigjson") {
		t.Errorf("a secret without either: %v", err)
	}
	if k, err := FromFile(filepath.Join(t.TempDir(), "none.json")); err != nil || len(k.keys) != 0 {
		t.Errorf("an absent file: %v, %v", k, err)
	}
}
