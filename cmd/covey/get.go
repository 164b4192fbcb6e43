package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
)

type getOptions struct {
	*options
	selection
	output          string
	watch           bool
	watchOnly       bool
	showLabels      bool
	labelColumns    []string
	noHeaders       bool
	ignoreNotFound  bool
	showManagedFlds bool
}

func newGetCommand(base *options) *cobra.Command {
	o := &getOptions{options: base}
	cmd := &cobra.Command{
		Use:               "get (TYPE[,TYPE...] [NAME...] | TYPE/NAME... | -f FILE)",
		Short:             "Show objects",
		Example:           "  covey get pods -o wide\n  covey get deploy,rs,pods -l app=hello\n  covey get pod hello-0 -o yaml\n  covey get pods -A -w",
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: base.completeObjects,
	}
	f := cmd.Flags()
	base.addFlags(f)
	o.addFiles(f)
	o.addLabels(f)
	o.addFields(f)
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "objects of all namespaces")
	f.StringVarP(&o.output, "output", "o", "", "wide, yaml, json, name or jsonpath=EXPRESSION")
	f.BoolVarP(&o.watch, "watch", "w", false, "go on showing what changes")
	f.BoolVar(&o.watchOnly, "watch-only", false, "show only what changes from now on")
	f.BoolVar(&o.showLabels, "show-labels", false, "show all labels in the last column")
	f.StringSliceVarP(&o.labelColumns, "label-columns", "L", nil, "labels to show as columns")
	f.BoolVar(&o.noHeaders, "no-headers", false, "leave out the headers of tables")
	f.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "what is not there is no error")
	f.BoolVar(&o.showManagedFlds, "show-managed-fields", false, "show who owns which field, in json and yaml")
	return cmd
}

func (o *getOptions) run(cmd *cobra.Command, args []string) error {
	var printer *objectPrinter
	if o.output != "" && o.output != "wide" {
		p, err := newObjectPrinter(o.output)
		if err != nil {
			return err
		}
		p.managedFields = o.showManagedFlds
		printer = p
	}
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	targets, err := s.targets(args, &o.selection)
	if err != nil {
		return err
	}
	switch {
	case o.watch || o.watchOnly:
		return o.follow(s, targets, printer)
	case printer != nil:
		return o.printObjects(s, targets, printer)
	}
	return o.printTables(s, targets)
}

// printObjects prints whole objects: one alone as it is, more as a List.
func (o *getOptions) printObjects(s *session, targets []target, p *objectPrinter) error {
	var found []any
	var kinds []*client.Resource
	var errs []error
	add := func(t target) func(json.RawMessage) error {
		return func(raw json.RawMessage) error {
			obj, err := decodeObject(raw, t.Resource)
			found, kinds = append(found, obj), append(kinds, t.Resource)
			return err
		}
	}
	for _, t := range targets {
		if err := o.fetch(s, t, add(t)); err != nil {
			errs = append(errs, err)
		}
	}
	alone := len(targets) == 1 && targets[0].name != ""
	switch {
	case len(errs) > 0 && len(found) == 0, alone && len(found) == 0:
		return failed(errs)
	case p.format == "name":
		for i, obj := range found {
			errs = append(errs, p.print(s.cmd.OutOrStdout(), kinds[i], obj.(object)))
		}
	case alone:
		errs = append(errs, p.print(s.cmd.OutOrStdout(), kinds[0], found[0].(object)))
	default:
		list := object{"apiVersion": "v1", "kind": "List", "metadata": object{"resourceVersion": ""}, "items": append([]any{}, found...)}
		errs = append(errs, p.print(s.cmd.OutOrStdout(), nil, list))
	}
	return failed(withoutNil(errs))
}

// fetch hands out the object of a target, or each that it selects.
func (o *getOptions) fetch(s *session, t target, add func(json.RawMessage) error) error {
	if t.name == "" {
		return s.list(t, o.query(), add)
	}
	var raw json.RawMessage
	if err := s.get(t, &raw); err != nil {
		return o.unlessIgnored(err)
	}
	return add(raw)
}

func (o *getOptions) unlessIgnored(err error) error {
	if o.ignoreNotFound && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// printTables prints a table for each kind, of the rows of all targets of that kind.
func (o *getOptions) printTables(s *session, targets []target) error {
	var errs []error
	rows, blocks := 0, 0
	several := severalKinds(targets)
	everywhere := o.allNamespaces || !slices.ContainsFunc(targets, func(t target) bool { return t.Namespaced })
	for len(targets) > 0 {
		n := 1
		for n < len(targets) && targets[n].Resource == targets[0].Resource {
			n++
		}
		block := o.newTable(s, targets[0].Resource, several)
		for _, t := range targets[:n] {
			if err := block.load(s, t, o.query()); err != nil {
				errs = append(errs, o.unlessIgnored(err))
			}
		}
		if len(block.rows) > 0 {
			if blocks++; blocks > 1 {
				s.say("")
			}
			rows += len(block.rows)
			errs = append(errs, block.flush())
		}
		targets = targets[n:]
	}
	errs = withoutNil(errs)
	if rows == 0 && len(errs) == 0 && !o.ignoreNotFound {
		s.noteNothingFound(everywhere)
	}
	return failed(errs)
}

func (s *session) noteNothingFound(everywhere bool) {
	if everywhere {
		s.note("No resources found")
		return
	}
	s.note("No resources found in %s namespace.", s.Namespace)
}

func severalKinds(targets []target) bool {
	for _, t := range targets {
		if t.Resource != targets[0].Resource {
			return true
		}
	}
	return false
}

func withoutNil(errs []error) []error {
	var out []error
	for _, err := range errs {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// follow prints what is there and then what changes, until the user ends it.
func (o *getOptions) follow(s *session, targets []target, p *objectPrinter) error {
	if len(targets) != 1 {
		return errors.New("you may only specify a single resource type or object to watch")
	}
	t := targets[0]
	if t.name != "" {
		if err := s.get(t, new(json.RawMessage)); err != nil {
			return err
		}
		o.fields = strings.Trim(o.fields+",metadata.name="+t.name, ",")
		t.name = ""
	}
	block := o.newTable(s, t.Resource, false)
	show := block.event
	accept := client.Table
	if p != nil {
		accept = client.JSON
		show = func(raw json.RawMessage) error {
			obj, err := decodeObject(raw, t.Resource)
			if err != nil {
				return err
			}
			return p.print(s.cmd.OutOrStdout(), t.Resource, obj)
		}
	}
	first := !o.watchOnly
	for {
		revision, err := o.start(s, t, accept, block, first, p)
		if err != nil {
			return err
		}
		request := client.Request{Path: t.collection(), Query: o.query(), Accept: accept}
		err = s.Watch(s.ctx(), request, revision, func(e client.Event) error { return show(e.Object) })
		if !client.IsExpired(err) {
			return err
		}
		// Changes have been missed: show all as it is now.
		first = true
	}
}

// start lists what there is, prints it if wanted, and returns the revision to watch from.
func (o *getOptions) start(s *session, t target, accept string, block *tableBlock, show bool, p *objectPrinter) (string, error) {
	if p == nil {
		block.rows = nil
		if err := block.load(s, t, o.query()); err != nil {
			return "", err
		}
		if !show {
			block.rows = nil
		}
		return block.revision, block.flush()
	}
	var list struct {
		metav1.ListMeta `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}
	query := o.query()
	query.Del("limit")
	if err := s.Into(s.ctx(), client.Request{Path: t.collection(), Query: query, Accept: accept}, &list); err != nil {
		return "", err
	}
	for _, raw := range list.Items {
		if !show {
			break
		}
		obj, err := decodeObject(raw, t.Resource)
		if err != nil {
			return "", err
		}
		if err := p.print(s.cmd.OutOrStdout(), t.Resource, obj); err != nil {
			return "", fmt.Errorf("print: %w", err)
		}
	}
	return list.ResourceVersion, nil
}
