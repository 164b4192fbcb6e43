package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/api/client"
)

type cordonOptions struct {
	*options
	selection
	dryRun string
}

func newCordonCommand(base *options) *cobra.Command {
	o := &cordonOptions{options: base}
	cmd := &cobra.Command{
		Use:     "cordon NODE...",
		Short:   "Have no new pods placed on a node",
		Example: "  covey cordon node-3",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args, true) },
	}
	o.addTo(cmd)
	return cmd
}

func newUncordonCommand(base *options) *cobra.Command {
	o := &cordonOptions{options: base}
	cmd := &cobra.Command{
		Use:     "uncordon NODE...",
		Short:   "Have pods placed on a node again",
		Example: "  covey uncordon node-3",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args, false) },
	}
	o.addTo(cmd)
	return cmd
}

func (o *cordonOptions) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	o.options.addFlags(f)
	o.addLabels(f)
	f.StringVar(&o.dryRun, "dry-run", "none", "client: say what would be done, and do nothing")
	f.Lookup("dry-run").NoOptDefVal = "client"
	cmd.ValidArgsFunction = o.completeOf("nodes")
}

func (o *cordonOptions) run(cmd *cobra.Command, args []string, cordon bool) error {
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	nodes, err := s.nodes(args, &o.selection)
	if err != nil {
		return err
	}
	return forEach(nodes, func(n target) error { return s.cordon(n, cordon, o.dryRun != "none") })
}

// nodes are those that are named, or selected by their labels.
func (s *session) nodes(names []string, sel *selection) ([]target, error) {
	r, err := s.lookup("nodes")
	if err != nil {
		return nil, err
	}
	if (len(names) == 0) == (sel.labels == "") {
		return nil, errors.New("name one node or more, or select them with -l LABELS")
	}
	if len(names) == 0 {
		return s.each([]target{{Resource: r}}, sel)
	}
	all := make([]target, len(names))
	for i, name := range names {
		name = trimType(name)
		if err := checkName(name); err != nil {
			return nil, err
		}
		all[i] = target{Resource: r, name: name}
	}
	return all, nil
}

// trimType takes node/NAME for NAME, as other commands print it.
func trimType(name string) string {
	if _, plain, ok := strings.Cut(name, "/"); ok {
		return plain
	}
	return name
}

// cordon makes a node unschedulable, or schedulable again, and says so.
func (s *session) cordon(t target, cordon, dryRun bool) error {
	var node corev1.Node
	if err := s.get(t, &node); err != nil {
		return err
	}
	done, suffix := "uncordoned", ""
	if cordon {
		done = "cordoned"
	}
	if dryRun {
		suffix = " (dry run)"
	}
	if node.Spec.Unschedulable == cordon {
		s.say("%s already %s%s", t.object(), done, suffix)
		return nil
	}
	if !dryRun {
		var unschedulable any // nil takes the field away
		if cordon {
			unschedulable = true
		}
		if err := s.patch(t, client.MergePatch, object{"spec": object{"unschedulable": unschedulable}}); err != nil {
			return err
		}
	}
	s.say("%s %s%s", t.object(), done, suffix)
	return nil
}
