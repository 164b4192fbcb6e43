package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/manifest"
)

// fieldManager is who the server says has set the fields that covey's commands set.
const fieldManager = "covey"

type applyOptions struct {
	*options
	selection
	dryRun     string
	validate   string
	manager    string
	output     string
	force      bool
	serverSide bool
}

func newApplyCommand(base *options) *cobra.Command {
	o := &applyOptions{options: base}
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|URL|-",
		Short: "Create or change objects so that they are as the manifests say",
		Long: `Create or change objects so that they are as the manifests say, by server-side apply.

Fields that the manifests leave out keep their value. A field that another tool than covey has set, and the
manifest sets otherwise, is a conflict; --force-conflicts takes it over.`,
		Example: "  covey apply -f hello.yaml\n  covey apply -R -f manifests/\n  cat hello.yaml | covey apply -f -",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	base.addFlags(f)
	o.addFiles(f)
	f.BoolVar(&o.serverSide, "server-side", true, "always so; the flag is there for those who are used to it")
	f.BoolVar(&o.force, "force-conflicts", false, "take over fields that others have set")
	f.StringVar(&o.dryRun, "dry-run", "none", "server: let the server do all but store it")
	f.Lookup("dry-run").NoOptDefVal = "server"
	f.StringVar(&o.validate, "validate", "strict", "what becomes of unknown and duplicate fields: strict (an error), warn or ignore")
	f.StringVar(&o.manager, "field-manager", fieldManager, "name under which the fields are owned")
	f.StringVarP(&o.output, "output", "o", "", "json, yaml or name")
	return cmd
}

func (o *applyOptions) run(cmd *cobra.Command) error {
	query, err := o.query()
	if err != nil {
		return err
	}
	if len(o.files) == 0 {
		return errors.New("must specify -f FILE")
	}
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	var errs []error
	seen := 0
	for obj, err := range s.objects(&o.selection) {
		if err == nil {
			seen++
			err = o.apply(s, obj, query)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if isFatal(s.ctx(), err) {
			break
		}
	}
	if seen == 0 && len(errs) == 0 {
		return errors.New("no objects passed to apply")
	}
	return failed(errs)
}

// isFatal reports that the next object would fail in the same way.
func isFatal(ctx context.Context, err error) bool {
	var noServer *url.Error
	return ctx.Err() != nil || errors.As(err, &noServer) || apierrors.IsUnauthorized(err)
}

func (o *applyOptions) query() (url.Values, error) {
	q := url.Values{"fieldManager": {o.manager}, "force": {strconv.FormatBool(o.force)}}
	switch o.dryRun {
	case "none", "false", "":
	case "server":
		q.Set("dryRun", "All")
	case "client":
		return nil, errors.New("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)")
	default:
		return nil, fmt.Errorf("invalid dry-run value (%v). Must be \"none\" or \"server\"", o.dryRun)
	}
	switch o.validate {
	case "strict", "true":
		q.Set("fieldValidation", "Strict")
	case "warn":
		q.Set("fieldValidation", "Warn")
	case "ignore", "false":
		q.Set("fieldValidation", "Ignore")
	default:
		return nil, fmt.Errorf("invalid - validate option %q; must be one of: strict, warn, ignore", o.validate)
	}
	if _, err := newObjectPrinter(o.output); o.output != "" && err != nil {
		return nil, err
	}
	return q, nil
}

// apply sends one object and says what became of it. Whether it changed shows in its revision.
func (o *applyOptions) apply(s *session, obj *manifest.Object, query url.Values) error {
	t, err := s.targetOf(obj)
	var unknown *client.UnknownError
	if errors.As(err, &unknown) {
		return fmt.Errorf("resource mapping not found for name: %q namespace: %q from %s: %w", obj.Name, obj.Namespace, obj.Where, unknown)
	}
	if err != nil {
		return err
	}
	located := func(err error) error {
		return &client.LocatedError{Doing: "error when applying " + obj.String(), Err: err}
	}
	var before, after metav1.PartialObjectMetadata
	if err := s.get(t, &before); err != nil && !apierrors.IsNotFound(err) {
		return located(err)
	}
	code, body, err := s.send(t, query, obj.JSON)
	if o.isOurs(err) {
		forced := maps.Clone(query)
		forced.Set("force", "true")
		code, body, err = s.send(t, forced, obj.JSON)
	}
	if err != nil {
		return located(conflictHint(err))
	}
	if err := json.Unmarshal(body, &after); err != nil {
		return located(fmt.Errorf("decode the answer: %w", err))
	}
	if o.output != "" {
		return o.print(s, t, body)
	}
	word := "configured"
	switch {
	case code == http.StatusCreated || before.UID == "":
		word = "created"
	case before.ResourceVersion == after.ResourceVersion:
		word = "unchanged"
	}
	if query.Has("dryRun") {
		word += " (server dry run)"
	}
	s.say("%s %s", t.object(), word)
	return nil
}

func (s *session) send(t target, query url.Values, body []byte) (int, []byte, error) {
	return s.Do(s.ctx(), client.Request{
		Method: http.MethodPatch, Path: t.path(), Query: query, Body: bytes.NewReader(body), ContentType: client.ApplyPatch,
	})
}

// isOurs reports a conflict with nothing but what covey's own commands have set, as scale and rollout undo do: to the
// user they and apply are one hand, and the last word counts. The API names the other manager in the message only.
func (o *applyOptions) isOurs(err error) bool {
	causes := conflicts(err)
	return len(causes) > 0 && !slices.ContainsFunc(causes, func(c metav1.StatusCause) bool {
		return !strings.HasPrefix(c.Message, fmt.Sprintf("conflict with %q", fieldManager))
	})
}

// conflicts are the fields that belong to others, if err is about such.
func conflicts(err error) []metav1.StatusCause {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || !apierrors.IsConflict(err) || status.ErrStatus.Details == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(status.ErrStatus.Details.Causes), func(c metav1.StatusCause) bool {
		return c.Type != metav1.CauseTypeFieldManagerConflict
	})
}

func (o *applyOptions) print(s *session, t target, body []byte) error {
	p, err := newObjectPrinter(o.output)
	if err != nil {
		return err
	}
	obj, err := decodeObject(body, t.Resource)
	if err != nil {
		return err
	}
	return p.print(s.cmd.OutOrStdout(), t.Resource, obj)
}

// conflictHint says what to do about fields that belong to others.
func conflictHint(err error) error {
	var status *apierrors.StatusError
	if len(conflicts(err)) == 0 || !errors.As(err, &status) {
		return err
	}
	out := *status
	out.ErrStatus.Message = strings.TrimRight(out.ErrStatus.Message, "\n") +
		"\nLeave these fields out of the manifest, or take them over with --force-conflicts."
	return &out
}
