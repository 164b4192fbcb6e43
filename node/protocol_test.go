package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
	"covey.dev/covey/store/protocol"
)

// TestACoveyOfAnotherVersionDoesNotStart on the data directory of a node whose cluster has agreed on something else.
func TestACoveyOfAnotherVersionDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	if err := checkProtocol(dir); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, protocolFile), []byte("200\n"), 0o600); err != nil { // of a join that came to nothing
		t.Fatal(err)
	}
	if err := checkProtocol(dir); err != nil {
		t.Errorf("a directory without an identity: %v", err)
	}
	if _, err := identity.Open(filepath.Join(dir, "identity"), time.Now); err != nil {
		t.Fatal(err)
	}
	if err := checkProtocol(dir); err != nil {
		t.Errorf("a cluster of before there were versions: %v", err)
	}
	for _, version := range []int{protocol.Newest, 1} { // it never falls
		if err := noteProtocol(dir, version); err != nil {
			t.Fatal(err)
		}
		if got, err := readProtocol(dir); got != protocol.Newest || err != nil {
			t.Errorf("after %d it remembers %d: %v", version, got, err)
		}
	}
	if err := checkProtocol(dir); err != nil {
		t.Error(err)
	}
	ended := remembered(dir, fmt.Errorf("apply log entry 7: %w", protocol.Spoken().Check(protocol.Newest+1)))
	var mismatch *protocol.Mismatch
	if err := checkProtocol(dir); !errors.As(ended, &mismatch) || !errors.As(err, &mismatch) || mismatch.Version != protocol.Newest+1 ||
		!strings.Contains(err.Error(), "Nothing in "+dir+" was changed") {
		t.Errorf("after it ended with %v: %v", ended, err)
	}
}

func nodeObject(name, id, covey, spoken string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{nodeIDAnnotation: id}}}
	if spoken != "" {
		n.Annotations[protocolAnnotation] = spoken
	}
	n.Status.NodeInfo.KubeletVersion = "v1.37.2+covey-" + strings.TrimPrefix(covey, "v")
	return n
}

func TestWhoHoldsAnUpgradeBack(t *testing.T) {
	now := protocol.Range{Oldest: 1, Newest: 2}
	said := func(id string, spoken protocol.Range) gossip.Member {
		return gossip.Member{ID: id, Name: "node-" + id, Version: "v2", Protocol: spoken}
	}
	leaves := said("4", protocol.First)
	leaves.Leaving = true
	members := []store.Member{{ID: "1", Voter: true}, {ID: "2", Voter: true}, {ID: "3", Voter: true}}
	for _, test := range []struct {
		name   string
		alive  []gossip.Member
		nodes  []*corev1.Node
		agreed int
		next   int
		says   string
	}{
		{"all are new", []gossip.Member{said("1", now), said("2", now), said("3", now)}, nil, 2, 2,
			"The nodes speak protocol version 2."},
		{"all are new since just now", []gossip.Member{said("1", now), said("2", now), said("3", now)}, nil, 1, 2,
			"The nodes speak protocol version 1. All could speak 2, which the leader is about to have them do."},
		{"one is old", []gossip.Member{said("1", now), said("2", now), said("3", protocol.First)}, nil, 1, 1,
			"An upgrade to 2 is not finished: it waits for a newer covey on node-3 (v2). A node that is gone"},
		{"one is away and was old", []gossip.Member{said("1", now), said("2", now)}, []*corev1.Node{nodeObject("node-3", "3", "v1", "")}, 1, 1,
			"newer covey on node-3 (v1, not there)."},
		{"one is away and was new", []gossip.Member{said("1", now), said("2", now)}, []*corev1.Node{nodeObject("node-3", "3", "v2", "1-2")}, 1, 2, ""},
		{"one came back older than its object says", []gossip.Member{said("1", now), said("2", now), said("3", protocol.First)},
			[]*corev1.Node{nodeObject("node-3", "3", "v2", "1-2")}, 1, 1, "newer covey on node-3 (v2)"},
		{"of one nothing is known", []gossip.Member{said("1", now), said("2", now)}, nil, 1, 1, "newer covey on 3 (of a version that is not known, not there)"},
		{"a worker is away", []gossip.Member{said("1", now), said("2", now), said("3", now)}, []*corev1.Node{nodeObject("w", "4", "v1", "1")}, 1, 1,
			"newer covey on w (v1, not there)"},
		{"an object that is no node", []gossip.Member{said("1", now), said("2", now), said("3", now)}, []*corev1.Node{nodeObject("w", "", "v1", "")}, 1, 2, ""},
		{"an old one is about to leave", []gossip.Member{said("1", now), said("2", now), said("3", now), leaves}, []*corev1.Node{nodeObject("node-4", "4", "v1", "")}, 1, 1, ""},
		{"an old one has left", []gossip.Member{said("1", now), said("2", now), said("3", now), leaves}, nil, 1, 2, ""},
	} {
		speakers := speakersOf(members, test.alive, slices.Values(test.nodes))
		status := protocolStatus(test.agreed, speakers)
		if next := protocol.Agree(test.agreed, spokenBy(speakers)); next != test.next || !strings.Contains(status.Summary, test.says) {
			t.Errorf("%s: the next version is %d, want %d: %s", test.name, next, test.next, status.Summary)
		}
		if done := len(status.HeldBackBy) == 0; done != (test.next == 2) {
			t.Errorf("%s: it is held back by %v", test.name, status.HeldBackBy)
		}
	}
}
