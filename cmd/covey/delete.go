package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"covey.dev/covey/api/client"
)

type deleteOptions struct {
	*options
	selection
	force          bool
	now            bool
	graceSeconds   int64
	wait           bool
	timeout        time.Duration
	cascade        string
	ignoreNotFound bool
	dryRun         string
	output         string
}

func newDeleteCommand(base *options) *cobra.Command {
	o := &deleteOptions{options: base}
	cmd := &cobra.Command{
		Use:               "delete (-f FILE | TYPE (NAME... | -l LABELS | --all) | TYPE/NAME...)",
		Short:             "Delete objects and wait until they are gone",
		Example:           "  covey delete -f hello.yaml\n  covey delete pod hello-0 --now\n  covey delete deploy -l app=hello",
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: base.completeObjects,
	}
	f := cmd.Flags()
	base.addFlags(f)
	o.addFiles(f)
	o.addLabels(f)
	o.addFields(f)
	f.BoolVar(&o.all, "all", false, "all objects of the type in the namespace")
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "in all namespaces")
	f.BoolVar(&o.force, "force", false, "with --grace-period=0: forget the object at once, whatever still runs of it")
	f.BoolVar(&o.now, "now", false, "stop at once: the same as --grace-period=1")
	f.Int64Var(&o.graceSeconds, "grace-period", -1, "seconds that the object has to stop; -1: what it says itself")
	f.BoolVar(&o.wait, "wait", true, "wait until the objects are gone")
	f.DurationVar(&o.timeout, "timeout", 0, "how long to wait, such as 30s; 0: as long as it takes")
	f.StringVar(&o.cascade, "cascade", "background", "what becomes of what the objects own: background, foreground or orphan")
	f.Lookup("cascade").NoOptDefVal = "background"
	f.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "what is not there is no error")
	f.StringVar(&o.dryRun, "dry-run", "none", "server: let the server do all but delete")
	f.Lookup("dry-run").NoOptDefVal = "server"
	f.StringVarP(&o.output, "output", "o", "", "name")
	return cmd
}

func (o *deleteOptions) run(cmd *cobra.Command, args []string) error {
	body, err := o.body()
	if err != nil {
		return err
	}
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	targets, err := s.targets(args, &o.selection)
	if err != nil {
		return err
	}
	selected := o.all || o.labels != "" || o.fields != ""
	if !selected && len(targets) > 0 && targets[0].name == "" {
		return errors.New("resource(s) were provided, but no name was specified")
	}
	if targets, err = s.each(targets, &o.selection); err != nil {
		return err
	}
	if len(targets) == 0 {
		s.note("No resources found")
		return nil
	}
	if o.force {
		s.note("Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. " +
			"The resource may continue to run on the cluster indefinitely.")
	}
	gone, errs := o.deleteAll(s, targets, body)
	if o.wait && o.dryRun == "none" {
		errs = append(errs, s.waitGone(gone, o.timeout)...)
	}
	return failed(errs)
}

// body is the DeleteOptions of all requests.
func (o *deleteOptions) body() ([]byte, error) {
	opts := metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}}
	switch o.cascade {
	case "background", "true":
		opts.PropagationPolicy = new(metav1.DeletePropagationBackground)
	case "foreground":
		opts.PropagationPolicy = new(metav1.DeletePropagationForeground)
	case "orphan", "false":
		opts.PropagationPolicy = new(metav1.DeletePropagationOrphan)
	default:
		return nil, fmt.Errorf("invalid cascade value (%s). Must be \"background\", \"foreground\", or \"orphan\"", o.cascade)
	}
	switch o.dryRun {
	case "none":
	case "server":
		opts.DryRun = []string{metav1.DryRunAll}
	default:
		return nil, fmt.Errorf("invalid dry-run value (%v). Must be \"none\" or \"server\"", o.dryRun)
	}
	if o.output != "" && o.output != "name" {
		return nil, errors.New("unexpected -o output mode: only -o name is there for delete")
	}
	if o.now {
		if o.graceSeconds >= 0 {
			return nil, errors.New("--now and --grace-period cannot be specified together")
		}
		o.graceSeconds = 1
	}
	if o.force {
		if o.graceSeconds > 0 {
			return nil, errors.New("--force and --grace-period greater than 0 cannot be specified together")
		}
		o.graceSeconds = 0
	} else if o.graceSeconds == 0 {
		o.graceSeconds = 1 // to forget what may still run needs the word --force
	}
	if o.graceSeconds >= 0 {
		opts.GracePeriodSeconds = &o.graceSeconds
	}
	return json.Marshal(&opts)
}

// doomed is an object whose deletion has begun.
type doomed struct {
	target
	uid types.UID
}

func (o *deleteOptions) deleteAll(s *session, targets []target, body []byte) (gone []doomed, errs []error) {
	for _, t := range targets {
		uid, err := s.delete(t, body)
		if apierrors.IsNotFound(err) && (o.ignoreNotFound || o.all || o.labels != "") {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			if isFatal(s.ctx(), err) {
				return gone, errs
			}
			continue
		}
		gone = append(gone, doomed{target: t, uid: uid})
		o.report(s, t)
	}
	return gone, errs
}

func (o *deleteOptions) report(s *session, t target) {
	if o.output == "name" {
		s.say("%s", t.object())
		return
	}
	word := "deleted"
	if o.force {
		word = "force deleted"
	}
	if t.Namespaced {
		word += " from " + t.namespace + " namespace"
	}
	if o.dryRun == "server" {
		word += " (server dry run)"
	}
	kind := t.Object("")
	s.say("%s %q %s", kind[:len(kind)-1], t.name, word)
}

// delete asks the server to delete an object, and returns its UID.
func (s *session) delete(t target, options []byte) (types.UID, error) {
	var answer struct {
		Kind     string `json:"kind"`
		Metadata struct {
			UID types.UID `json:"uid"`
		} `json:"metadata"`
		Details struct {
			UID types.UID `json:"uid"`
		} `json:"details"`
	}
	err := s.Into(s.ctx(), client.Request{Method: http.MethodDelete, Path: t.path(), Body: bytes.NewReader(options)}, &answer)
	if answer.Kind == "Status" {
		return answer.Details.UID, err
	}
	return answer.Metadata.UID, err
}

// waitGone returns when the objects are gone, or others of their name have taken their place.
func (s *session) waitGone(objects []doomed, timeout time.Duration) (errs []error) {
	ctx := s.ctx()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for _, d := range objects {
		err := s.waitOneGone(ctx, d)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && s.ctx().Err() == nil:
			errs = append(errs, fmt.Errorf("timed out waiting for the condition on %s/%s", d.Plural, d.name))
		case err != nil:
			return append(errs, err)
		}
	}
	return errs
}

var errGone = errors.New("gone")

func (s *session) waitOneGone(ctx context.Context, d doomed) error {
	all := target{Resource: d.Resource, namespace: d.namespace}
	query := url.Values{"fieldSelector": {"metadata.name=" + d.name}}
	for {
		var list metav1.PartialObjectMetadataList
		if err := s.Into(ctx, client.Request{Path: all.collection(), Query: query}, &list); err != nil {
			return err
		}
		if len(list.Items) == 0 || list.Items[0].UID != d.uid {
			return nil
		}
		err := s.Watch(ctx, client.Request{Path: all.collection(), Query: query}, list.ResourceVersion, func(e client.Event) error {
			var meta metav1.PartialObjectMetadata
			if err := json.Unmarshal(e.Object, &meta); err != nil {
				return fmt.Errorf("decode an event: %w", err)
			}
			if e.Type == watch.Deleted || meta.UID != d.uid {
				return errGone
			}
			return nil
		})
		if errors.Is(err, errGone) {
			return nil
		}
		if !client.IsExpired(err) {
			return err
		}
	}
}
