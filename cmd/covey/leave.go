package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"covey.dev/covey/api/client"
	"covey.dev/covey/node"
)

func newLeaveCommand(base *options) *cobra.Command {
	o := &drainOptions{options: base, ignoreDaemonSets: true, deleteEmptyDir: true}
	var stay bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take the node that is asked out of its cluster",
		Long: `Take the node that is asked, on its own machine this one, out of its cluster.

Its pods are evicted first and run elsewhere, as with "covey drain"; another server leads and votes in its place; then covey stops there.
What it had of the cluster's state is deleted, images and logs stay: "covey uninstall --purge" removes them too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return s.leave(o, stay)
		},
	}
	f := cmd.Flags()
	base.addFlags(f)
	f.BoolVar(&o.force, "force", false, "delete pods that no controller starts elsewhere")
	f.BoolVar(&stay, "no-drain", false, "leave the pods as they are; others take their place when the node is gone")
	f.Int64Var(&o.graceSeconds, "grace-period", -1, "seconds that pods have to stop; -1: what they say themselves")
	f.DurationVar(&o.timeout, "timeout", 0, "how long the pods may take, such as 5m; 0: as long as it takes")
	return cmd
}

func (s *session) leave(o *drainOptions, noDrain bool) error {
	var status node.Status
	if err := s.Into(s.ctx(), client.Request{Path: node.StatusPath}, &status); err != nil {
		return err
	}
	if status.Sole() { // before its pods are evicted
		return fmt.Errorf("node %s: %w", status.Node, node.ErrSole)
	}
	if !noDrain {
		r, err := s.lookup("nodes")
		if err != nil {
			return err
		}
		if err := o.drain(s, target{Resource: r, name: status.Node}); err != nil {
			return err
		}
	}
	began := time.Now()
	if _, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodPost, Path: node.LeavePath}); err != nil {
		if !noDrain {
			s.note("Node %s is still cordoned: covey uncordon %s takes it into use again", status.Node, status.Node)
		}
		return err
	}
	s.say("node/%s left the cluster (%v)", status.Node, time.Since(began).Round(10*time.Millisecond))
	return nil
}
