package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"covey.dev/covey/api/client"
	"covey.dev/covey/node"
)

const (
	// recoverPatience is how long the node may take to start again and lead.
	recoverPatience = time.Minute
	readyCheck      = 100 * time.Millisecond
)

func newRecoverCommand(base *options) *cobra.Command {
	var yes bool
	var dataDir string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Go on after most of the servers are lost, with the node that is asked as the only one that votes",
		Long: `Go on after most of the servers that vote are lost, with the node that is asked, on its own machine this one, as the only one
that votes.

Without --yes it says what it would do. It is refused while a majority is alive. What the lost servers had acknowledged and
this one has not seen is lost; when they come back they set their state aside and copy this one's. Pods go on meanwhile.

With --data-dir it is done to a node that is stopped.`,
		Example: "  covey recover\n  covey recover --yes\n  covey recover --data-dir /var/lib/covey --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("data-dir") {
				return recoverDir(cmd, dataDir, yes)
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return s.recover("recover", yes)
		},
	}
	base.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "the data directory of a node that is stopped")
	return cmd
}

func newPromoteCommand(base *options) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "promote",
		Short: "Have the node that is asked vote and lead",
		Long: `Have the node that is asked, on its own machine this one, vote and lead.

Where the leader is alive it hands over: of two servers the one that voted follows then. Where it is lost this is "covey recover".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return s.promote(yes)
		},
	}
	base.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do it also where the leader is lost")
	return cmd
}

func (s *session) promote(yes bool) error {
	var plan node.Recovery
	if err := s.Into(s.ctx(), client.Request{Path: node.RecoverPath}, &plan); err != nil {
		return err
	}
	if plan.Refused == "" {
		return s.recover("promote", yes)
	}
	if _, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodPost, Path: node.PromotePath}); err != nil {
		return err
	}
	s.say("node/%s leads", plan.Node)
	return nil
}

func (s *session) recover(command string, yes bool) error {
	var plan node.Recovery
	if err := s.Into(s.ctx(), client.Request{Path: node.RecoverPath}, &plan); err != nil {
		return err
	}
	if plan.Refused != "" {
		return errors.New(plan.Refused)
	}
	s.say("%s", describeRecovery(plan))
	if !yes {
		return fmt.Errorf("nothing was done: covey %s --yes does it", command)
	}
	if _, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodPost, Path: node.RecoverPath}); err != nil {
		return err
	}
	if err := s.awaitRecovered(); err != nil {
		return fmt.Errorf("node %s is not back yet, see its log: %w", plan.Node, err)
	}
	s.say("node/%s is the only server that votes", plan.Node)
	return nil
}

// awaitRecovered waits until the node has a leader again: itself.
func (s *session) awaitRecovered() error {
	ctx, cancel := context.WithTimeout(s.ctx(), recoverPatience)
	defer cancel()
	for {
		var plan node.Recovery
		err := s.Into(ctx, client.Request{Path: node.RecoverPath}, &plan)
		if err == nil && plan.Refused != "" && len(plan.Missing) == 0 {
			return nil
		}
		select {
		case <-time.After(readyCheck):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func describeRecovery(plan node.Recovery) string {
	text := fmt.Sprintf("%s goes on as the only server that votes, with the state that it has (revision %d).\n"+
		"Not there, and no longer waited for: %s. What was acknowledged there and %s has not seen is lost.\n"+
		"When they come back they set their state aside and copy that of %s.",
		plan.Node, plan.Revision, strings.Join(plan.Missing, ", "), plan.Node, plan.Node)
	if len(plan.Copies) > 0 {
		text += fmt.Sprintf("\nThere, and does so at once: %s.", strings.Join(plan.Copies, ", "))
	}
	return text
}

func recoverDir(cmd *cobra.Command, dataDir string, yes bool) error {
	dir, err := directory("data-dir", dataDir)
	if err != nil {
		return err
	}
	if !yes {
		return fmt.Errorf("this makes the node in %s the only server of its cluster. Servers that come back copy its state; what they had beyond it is lost. "+
			"Do it if most of the servers are gone for good: covey recover --data-dir %s --yes", dir, dataDir)
	}
	revision, err := node.RecoverDir(cmd.Context(), dir, errorLog(cmd))
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The node in %s is the only server of its cluster now, with the state at revision %d\n", dir, revision)
	return nil
}
