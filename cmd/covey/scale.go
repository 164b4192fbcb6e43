package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	autoscalingv1 "k8s.io/api/autoscaling/v1"

	"covey.dev/covey/api/client"
)

type scaleOptions struct {
	*options
	selection
	replicas, current int32
}

func newScaleCommand(base *options) *cobra.Command {
	o := &scaleOptions{options: base}
	cmd := &cobra.Command{
		Use:               "scale --replicas=COUNT (-f FILE | TYPE NAME... | TYPE/NAME...)",
		Short:             "Set how many replicas a Deployment or ReplicaSet has",
		Example:           "  covey scale --replicas=3 deployment/hello\n  covey scale --current-replicas=1 --replicas=3 deploy hello",
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: base.completeObjects,
	}
	f := cmd.Flags()
	base.addFlags(f)
	o.addFiles(f)
	o.addLabels(f)
	f.BoolVar(&o.all, "all", false, "all objects of the type in the namespace")
	f.Int32Var(&o.replicas, "replicas", -1, "how many there are to be")
	f.Int32Var(&o.current, "current-replicas", -1, "only if there are to be this many now")
	return cmd
}

func (o *scaleOptions) run(cmd *cobra.Command, args []string) error {
	if o.replicas < 0 {
		return errors.New("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0") //nolint:staticcheck // kubectl's words
	}
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	targets, err := s.targets(args, &o.selection)
	if err != nil {
		return err
	}
	if len(targets) > 0 && targets[0].name == "" && !o.all && o.labels == "" {
		return errors.New("resource(s) were provided, but no name was specified")
	}
	if targets, err = s.each(targets, &o.selection); err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("no objects passed to scale")
	}
	var errs []error
	for _, t := range targets {
		if err := o.scale(s, t); err != nil {
			errs = append(errs, err)
			continue
		}
		s.say("%s scaled", t.object())
	}
	return failed(errs)
}

func (o *scaleOptions) scale(s *session, t target) error {
	patch := object{"spec": object{"replicas": o.replicas}}
	if o.current >= 0 {
		var now autoscalingv1.Scale
		if err := s.Into(s.ctx(), client.Request{Path: t.path("scale")}, &now); err != nil {
			return err
		}
		if now.Spec.Replicas != o.current {
			return fmt.Errorf("Expected replicas to be %d, was %d", o.current, now.Spec.Replicas) //nolint:staticcheck // kubectl's words
		}
		patch["metadata"] = object{"resourceVersion": now.ResourceVersion}
	}
	return s.patch(t, client.MergePatch, patch, "scale")
}

// patch changes an object or, below it, a subresource.
func (s *session) patch(t target, mediaType string, patch any, below ...string) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	return s.Patch(s.ctx(), t.path(below...), mediaType, managed(), body, nil)
}
