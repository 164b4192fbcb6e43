package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"covey.dev/covey/e2e/harness"
)

// servers are those of the cluster that is measured.
const servers = 3

// cluster is several nodes, each in a network namespace of its own, as the end-to-end tests have them.
type cluster struct {
	*harness.Cluster
	*trial
	ctx  context.Context
	opts options
}

// measureCluster looks at what several nodes cost that have nothing to do, and how long it takes until one that dies is replaced.
func measureCluster(ctx context.Context, opts options) error {
	bin, err := filepath.Abs(opts.bin)
	if err == nil {
		err = os.Setenv("COVEY_E2E_BIN", bin)
	}
	if err == nil {
		err = harness.Check()
	}
	if err != nil {
		return err
	}
	return try(func(t *trial) {
		// A log of all would count among what a node writes.
		c := &cluster{harness.NewCluster(t).StartNodes(servers, "--log-level", "warn"), t, ctx, opts}
		head()
		c.measureIdle()
		c.measureKills()
		c.measureDeaths()
		c.measureJoins()
	})
}

// timed prints a row for what was measured several times.
func timed(what string, took []time.Duration, target string) {
	row(fmt.Sprintf("%s (median of %d)", what, len(took)), ms(median(took)), target, "")
}

// measureIdle looks at nodes that have nothing to do, the leader first.
func (c *cluster) measureIdle() {
	c.check(sleep(c.ctx, 30*time.Second)) // until the start's memory is given back
	leader := c.leader()
	order := []*harness.Node{c.Nodes[leader-1]}
	for i, n := range c.Nodes {
		if i+1 != leader {
			order = append(order, n)
		}
	}
	spent := make([]costs, len(order))
	for range c.opts.runs {
		before := make([]sample, len(order))
		for i, n := range order {
			before[i] = sampleOf(n.PID())
		}
		c.check(sleep(c.ctx, c.opts.idle))
		for i, n := range order {
			spent[i].add(before[i], sampleOf(n.PID()))
		}
	}
	if now := c.leader(); now != leader {
		c.Fatalf("node-%d leads and not node-%d any more, so an idle cluster was not what was measured", now, leader)
	}
	title := func(what string) string {
		return fmt.Sprintf("%s of an idle server in %d, the leader first, over %v (median of %d)", what, servers, c.opts.idle, c.opts.runs)
	}
	each := func(of func(costs) string) string {
		var all []string
		for _, cost := range spent {
			all = append(all, of(cost))
		}
		return strings.Join(all, ", ")
	}
	row(title("CPU"), each(func(c costs) string { return fmt.Sprintf("%.2f %%", median(c.cpu)) })+" of a core", "under 0.3 %", "")
	row(title("bytes written"), each(func(c costs) string { return fmt.Sprint(median(c.written)) }), "0", "")
	row(title("KiB/s sent"), each(func(c costs) string { return fmt.Sprintf("%.2f", median(c.sent)) }), "under 2", "")
	row(title("KiB/s received"), each(func(c costs) string { return fmt.Sprintf("%.2f", median(c.received)) }), "under 2", "")
	row(title("Pss"), each(func(c costs) string { return mib(median(c.pss)) }), "under 64 MiB", "")
}

// leader is the number of the node that leads.
func (c *cluster) leader() (number int) {
	c.Nodes[0].Eventually(func() error {
		body, err := c.Nodes[0].Clients.CoreV1().RESTClient().Get().AbsPath("/covey/status").DoRaw(c.ctx)
		if err != nil {
			return err
		}
		var status struct{ Members []struct{ Name, Role string } }
		if err := json.Unmarshal(body, &status); err != nil {
			return err
		}
		for _, m := range status.Members {
			if m.Role == "leader" {
				number, err = strconv.Atoi(strings.TrimPrefix(m.Name, "node-"))
				return err
			}
		}
		return errors.New("nobody leads")
	})
	return number
}
