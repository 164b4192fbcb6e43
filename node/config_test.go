package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAddressesOfNodes(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "", "192.0.2.7:7443": "", "node-1.example": "", "node-1:1": "", "2001:db8::7": "", "[2001:db8::7]": "", "[2001:db8::7]:7443": "",
		"https://node-1": "such as 192.0.2.7:7443", "https://192.0.2.7:7443": "such as 192.0.2.7:7443", "192.0.2.7/24": "such as 192.0.2.7:7443", ":7443": "such as 192.0.2.7:7443", "": "such as 192.0.2.7:7443",
		"192.0.2.7:74430": `the port is "74430"`, "192.0.2.7:0": `the port is "0"`, "192.0.2.7:": `the port is ""`, "192.0.2.7:https": `the port is "https"`,
	} {
		got := ""
		if err := checkAddress(address); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q; want %q", address, got, want)
		}
	}
}

func TestAWitnessHasNoPods(t *testing.T) {
	cfg := Config{DataDir: t.TempDir(), Name: "node-2"}
	if err := checkNoPods(cfg); err != nil {
		t.Errorf("a new node: %v", err)
	}
	pod := filepath.Join(cfg.DataDir, "pods", "16600e46-a5af-4c4d-9864-e9b62d062a8f")
	if err := os.MkdirAll(pod, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkNoPods(cfg); err == nil || !strings.Contains(err.Error(), "covey drain node-2") {
		t.Errorf("a node with a pod: %v", err)
	}
	if err := os.Remove(pod); err != nil {
		t.Fatal(err)
	}
	if err := checkNoPods(cfg); err != nil {
		t.Errorf("a node that was drained: %v", err)
	}
}
