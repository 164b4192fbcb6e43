package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/store"
)

// servers reads "a* b" as the members a, which votes, and b.
func servers(text string) []store.Member {
	var members []store.Member
	for _, word := range strings.Fields(text) {
		id, voter := strings.CutSuffix(word, "*")
		members = append(members, store.Member{ID: id, Voter: voter})
	}
	return members
}

func TestMemberChanges(t *testing.T) {
	for _, test := range []struct{ name, members, alive, want string }{
		{"alone", "a*", "a", ""},
		{"two servers have one voter", "a*", "a b", "b"},
		{"a second is settled", "a* b", "a b", ""},
		{"three vote at once", "a* b", "a b c", "c b* c*"},
		{"a fourth only follows", "a* b* c*", "a b c d", "d"},
		{"a dead voter is made up for", "a* b* c* d", "a b d", ""},
		{"of three one is dead before it votes", "a* b c", "a b", ""},
		{"seven have five", "a* b* c* d e f", "a b c d e f g", "g d* e*"},
	} {
		var got []string
		for _, change := range memberChanges(servers(test.members), strings.Fields(test.alive)) {
			text := change.ID
			if change.Voter {
				text += "*"
			}
			got = append(got, text)
		}
		if !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}

func TestLivenessIsWrittenOnceAndTakenBack(t *testing.T) {
	now := metav1.Now()
	node := &corev1.Node{}
	node.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse},
		{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady"},
	}
	if withLiveness(node, true, now) != nil {
		t.Error("what a node that is alive says of itself was changed")
	}
	lost := withLiveness(node, false, now)
	if lost == nil || says(lost) != "Unknown NodeStatusUnknown" {
		t.Fatalf("a lost node: %v", lost)
	}
	if withLiveness(lost, false, now) != nil {
		t.Error("written again without need")
	}
	if back := withLiveness(lost, true, now); back == nil || says(back) != "True KubeletReady" {
		t.Errorf("a node that is back: %v", back)
	}
}

func says(node *corev1.Node) string {
	c := node.Status.Conditions[1]
	return fmt.Sprint(c.Status, " ", c.Reason)
}
