package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// TestVotersOfThreeZones grows a cluster from one server to five, which are in three zones, and loses one for good: the other of its
// zone votes in its place. Then five are to vote. covey status says each time what may be lost.
func TestVotersOfThreeZones(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t)
	first := c.Add("--label", "topology.kubernetes.io/zone=a")
	first.Start()
	token := strings.TrimSpace(first.Covey("token", "create"))
	join := func(zone string) *harness.Node {
		n := c.Add("--join", c.IP(1), "--token", token, "--label", "topology.kubernetes.io/zone="+zone)
		n.Start()
		return n
	}
	voteOf(first, "node-1 is the only server", "node-1")
	join("a")
	voteOf(first, "node-1 votes alone: without it nothing can be written until covey promote is run on another server, which has a copy (node-2)", "node-1")
	join("b")
	voteOf(first, "One of the servers that vote may be lost.", "node-1", "node-2", "node-3")
	fourth := join("c")
	voteOf(first, "One of the servers that vote may be lost. In place of one that is away for a minute another votes (node-2).", "node-1", "node-3", "node-4")
	join("c")
	voteOf(first, "another votes (node-2, node-5).", "node-1", "node-3", "node-4")

	zone := func(name, zone string) {
		first.Kubectl("label", "node", name, "--overwrite", "topology.kubernetes.io/zone="+zone)
	}
	zone("node-4", "a")
	voteOf(first, "another votes (node-2, node-4).", "node-1", "node-3", "node-5")
	zone("node-4", "c")
	zone("node-5", "a")
	voteOf(first, "another votes (node-2, node-5).", "node-1", "node-3", "node-4")
	zone("node-5", "c")

	fourth.Kill()
	voteOf(first, "None of the servers that vote may be lost", "node-1", "node-3", "node-4")
	voteOf(first, "One of the servers that vote may be lost. In place of one that is away for a minute another votes (node-2).", "node-1", "node-3", "node-5")
	fourth.Start()
	voteOf(first, "another votes (node-2, node-4).", "node-1", "node-3", "node-5")

	for _, n := range c.Nodes {
		n.Stop()
		n.With("--voters", "5")
		n.Start()
	}
	voteOf(first, "2 of the servers that vote may be lost.", "node-1", "node-2", "node-3", "node-4", "node-5")
}

// voteOf waits until covey status says which servers vote, and says this of what may be lost.
func voteOf(n *harness.Node, says string, voters ...string) {
	const patience = 3 * time.Minute // one that is away has a minute to come back
	n.Within(patience, func() error {
		out := n.Covey("status")
		var vote []string
		for _, line := range regexp.MustCompile(`(?m)^(\S+) +(leader|voter) `).FindAllStringSubmatch(out, -1) {
			vote = append(vote, line[1])
		}
		if !slices.Equal(vote, voters) || !strings.Contains(out, says) {
			return fmt.Errorf("%v vote, want %v and %q:\n%s", vote, voters, says, out)
		}
		return nil
	})
}
