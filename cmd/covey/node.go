package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"covey.dev/covey/api/client"
	"covey.dev/covey/node"
)

// goneCheck is how long after one look at the members the next one follows.
const goneCheck = 100 * time.Millisecond

func newNodeCommand(base *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node COMMAND",
		Short: "Take nodes out of the cluster",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	base.addFlags(cmd.PersistentFlags())
	cmd.AddCommand(newNodeRemove(base))
	return cmd
}

func newNodeRemove(base *options) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "remove NODE...",
		Aliases: []string{"rm"},
		Short:   "Take dead nodes out of the cluster",
		Long: `Take dead nodes out of the cluster: they are not waited for any more, do not vote, and their pods run elsewhere.

A node that is alive leaves by itself: run "covey leave" there.`,
		Example:           "  covey node remove node-3",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: base.completeOf("nodes"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return forEach(args, func(name string) error {
				if err := s.removeNode(trimType(name), wait); err != nil {
					return fmt.Errorf("node %s: %w", name, err)
				}
				return nil
			})
		},
	}
	cmd.Flags().DurationVar(&wait, "timeout", time.Minute, "how long to wait until it is out")
	return cmd
}

// removeNode deletes a dead node's object, after which the leader takes it out of Raft, and waits for that.
func (s *session) removeNode(name string, timeout time.Duration) error {
	if err := checkName(name); err != nil {
		return err
	}
	m, err := s.member(name)
	switch {
	case err != nil:
		return err
	case m != nil && m.Alive:
		return errors.New("it is alive: run covey leave there, or stop it first")
	}
	r, err := s.lookup("nodes")
	if err != nil {
		return err
	}
	if m != nil && m.Name != "" {
		name = m.Name // it may have been given by its ID
	}
	body := []byte(`{"kind":"DeleteOptions","apiVersion":"v1"}`)
	if _, err := s.delete(target{Resource: r, name: name}, body); err != nil && (m == nil || !apierrors.IsNotFound(err)) {
		return err
	}
	for deadline := time.Now().Add(timeout); m != nil; {
		if time.Now().After(deadline) {
			return fmt.Errorf("it is still a member after %v", timeout)
		}
		select {
		case <-time.After(goneCheck):
		case <-s.ctx().Done():
			return s.ctx().Err()
		}
		// By its ID: without the object it has no name.
		if m, err = s.member(m.ID); err != nil {
			return err
		}
	}
	s.say("node/%s removed", name)
	return nil
}

// member finds a node among the members by its name or ID; nil when it is none.
func (s *session) member(name string) (*node.MemberStatus, error) {
	var status node.Status
	if err := s.Into(s.ctx(), client.Request{Path: node.StatusPath}, &status); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(status.Members, func(m node.MemberStatus) bool { return m.Name == name || m.ID == name })
	if i < 0 {
		return nil, nil
	}
	return &status.Members[i], nil
}
