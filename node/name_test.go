package node

import (
	"strings"
	"testing"
	"time"

	"covey.dev/covey/node/identity"
)

// TestANodeKeepsItsName when its machine is renamed, and does not take another one.
func TestANodeKeepsItsName(t *testing.T) {
	c := newCluster(t)
	server, worker := t.TempDir(), t.TempDir()
	if _, err := identity.Open(server, time.Now); err != nil {
		t.Fatal(err)
	}
	c.joined(worker, "shop")
	worker += "/identity"
	for _, dir := range []string{server, worker} {
		first := &base{cfg: Config{Name: "shop"}, log: quiet}
		if err := first.settleName(dir); err != nil {
			t.Fatal(err)
		}
		renamed := &base{cfg: Config{Name: "debian", HostName: true}, log: quiet}
		if err := renamed.settleName(dir); err != nil || renamed.cfg.Name != "shop" {
			t.Errorf("on a machine that was renamed the node is %s: %v", renamed.cfg.Name, err)
		}
		told := &base{cfg: Config{Name: "other"}, log: quiet}
		if err := told.settleName(dir); err == nil || !strings.Contains(err.Error(), "--node-name other: this node is shop in its cluster") {
			t.Errorf("with another --node-name: %v", err)
		}
	}
	if err := identity.Forget(server); err != nil {
		t.Fatal(err)
	}
	if name, err := identity.Name(server); name != "" || err != nil {
		t.Errorf("a node that has left its cluster is %q: %v", name, err)
	}
}
