package node

import (
	"strings"
	"testing"
)

func TestAddressesOfNodes(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "", "192.0.2.7:7443": "", "node-1.example": "", "node-1:1": "", "2001:db8::7": "", "[2001:db8::7]": "", "[2001:db8::7]:7443": "",
		"https://192.0.2.7:7443": "such as 192.0.2.7:7443", "192.0.2.7/24": "such as 192.0.2.7:7443", ":7443": "such as 192.0.2.7:7443", "": "such as 192.0.2.7:7443",
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
