package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"

	"covey.dev/covey/api/client"
)

func newRolloutCommand(base *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout COMMAND",
		Short: "Follow, undo, restart, pause or resume the rollout of a Deployment",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	base.addFlags(cmd.PersistentFlags())
	cmd.AddCommand(
		newRolloutStatusCommand(base), newRolloutHistoryCommand(base), newRolloutUndoCommand(base),
		newRolloutVerb(base, "restart", "Replace all pods, as the strategy says", restart),
		newRolloutVerb(base, "pause", "Let changes of the template wait", pause),
		newRolloutVerb(base, "resume", "Roll out what waited since the pause", resume),
	)
	return cmd
}

// managed names covey as the one who sets the fields of a request.
func managed() url.Values { return url.Values{"fieldManager": {fieldManager}} }

// rolloutCommand is what all commands about the rollout of Deployments have in common.
func rolloutCommand(base *options, verb, short string, act func(*session, target) error) *cobra.Command {
	sel := &selection{}
	cmd := &cobra.Command{
		Use:               verb + " (TYPE NAME | TYPE/NAME | -f FILE)",
		Short:             short,
		Example:           "  covey rollout " + verb + " deployment/hello",
		ValidArgsFunction: base.completeObjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			targets, err := s.deployments(args, sel)
			if err != nil {
				return err
			}
			var errs []error
			for _, t := range targets {
				if err := act(s, t); err != nil {
					errs = append(errs, err)
				}
			}
			return failed(errs)
		},
	}
	sel.addFiles(cmd.Flags())
	sel.addLabels(cmd.Flags())
	return cmd
}

// deployments finds what a rollout command is about, and refuses what has no rollout.
func (s *session) deployments(args []string, sel *selection) ([]target, error) {
	if len(args) == 0 && len(sel.files) == 0 {
		return nil, errors.New("required resource not specified")
	}
	targets, err := s.targets(args, sel)
	if err != nil {
		return nil, err
	}
	if targets, err = s.each(targets, sel); err != nil {
		return nil, err
	}
	for _, t := range targets {
		if t.GroupResource() != "deployments.apps" {
			return nil, fmt.Errorf("%s has no rollout: only deployments.apps have", t.object())
		}
	}
	if len(targets) == 0 {
		s.noteNothingFound(false)
	}
	return targets, nil
}

func newRolloutVerb(base *options, verb, short string, act func(*session, target) error) *cobra.Command {
	return rolloutCommand(base, verb, short, act)
}

func restart(s *session, t target) error {
	var d appsv1.Deployment
	if err := s.get(t, &d); err != nil {
		return err
	}
	if d.Spec.Paused {
		return fmt.Errorf("%s %q can't restart paused deployment (run rollout resume first)", t.GroupResource(), t.name)
	}
	annotations := object{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339)}
	patch := object{"spec": object{"template": object{"metadata": object{"annotations": annotations}}}}
	if err := s.patch(t, client.StrategicPatch, patch); err != nil {
		return err
	}
	s.say("%s restarted", t.object())
	return nil
}

func pause(s *session, t target) error { return setPaused(s, t, true, "paused") }

func resume(s *session, t target) error { return setPaused(s, t, false, "resumed") }

func setPaused(s *session, t target, paused bool, word string) error {
	var d appsv1.Deployment
	if err := s.get(t, &d); err != nil {
		return err
	}
	if d.Spec.Paused == paused {
		state := map[bool]string{true: "is already paused", false: "is not paused"}[paused]
		return fmt.Errorf("%s %q %s", t.GroupResource(), t.name, state)
	}
	if err := s.patch(t, client.StrategicPatch, object{"spec": object{"paused": paused}}); err != nil {
		return err
	}
	s.say("%s %s", t.object(), word)
	return nil
}
