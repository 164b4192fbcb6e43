package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/describe"
	"covey.dev/covey/cmd/covey/table"
)

const changeCauseAnnotation = "kubernetes.io/change-cause"

// ownAnnotations of a Deployment or ReplicaSet are not part of what a rollout brings.
var ownAnnotations = []string{
	corev1.LastAppliedConfigAnnotation, revisionAnnotation, "deployment.kubernetes.io/revision-history",
	"deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas",
}

func newRolloutHistoryCommand(base *options) *cobra.Command {
	var revision int64
	cmd := rolloutCommand(base, "history", "Show the revisions there are to go back to", func(s *session, t target) error {
		if revision < 0 {
			return fmt.Errorf("revision must be a positive integer: %d", revision)
		}
		_, all, err := s.history(t)
		if err != nil {
			return err
		}
		if revision > 0 {
			return showRevision(s, t, all, revision)
		}
		return showRevisions(s, t, all)
	})
	cmd.Flags().Int64Var(&revision, "revision", 0, "show this revision's pod template")
	return cmd
}

func newRolloutUndoCommand(base *options) *cobra.Command {
	var revision int64
	cmd := rolloutCommand(base, "undo", "Go back to the previous revision, or a given one", func(s *session, t target) error {
		return undo(s, t, revision)
	})
	cmd.Flags().Int64Var(&revision, "to-revision", 0, "revision to go back to; 0: the previous one")
	return cmd
}

// history gives a Deployment with its ReplicaSets, oldest revision first.
func (s *session) history(t target) (*appsv1.Deployment, []appsv1.ReplicaSet, error) {
	var d appsv1.Deployment
	if err := s.get(t, &d); err != nil {
		return nil, nil, err
	}
	all, err := s.replicaSets(&d)
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(rs appsv1.ReplicaSet) bool { return revisionOf(&rs) == 0 })
	slices.SortFunc(all, func(a, b appsv1.ReplicaSet) int { return cmp.Compare(revisionOf(&a), revisionOf(&b)) })
	return &d, all, nil
}

func showRevisions(s *session, t target, all []appsv1.ReplicaSet) error {
	s.say("%s ", t.object())
	if len(all) == 0 {
		s.say("No rollout history found.")
		return nil
	}
	p := table.Printer{Out: s.cmd.OutOrStdout()}
	p.Columns([]metav1.TableColumnDefinition{{Name: "Revision"}, {Name: "Change-Cause"}})
	var rows []table.Row
	for i := range all {
		cause := all[i].Annotations[changeCauseAnnotation]
		if cause == "" {
			cause = "<none>"
		}
		rows = append(rows, table.Row{Cells: []any{revisionOf(&all[i]), cause}})
	}
	err := p.Print(rows)
	s.say("")
	return err
}

func showRevision(s *session, t target, all []appsv1.ReplicaSet, revision int64) error {
	at := slices.IndexFunc(all, func(rs appsv1.ReplicaSet) bool { return revisionOf(&rs) == revision })
	if at < 0 {
		return fmt.Errorf("unable to find the specified revision")
	}
	s.say("%s with revision #%d", t.object(), revision)
	s.say("Pod Template:")
	w := describe.NewWriter(s.cmd.OutOrStdout(), time.Now())
	w.PodTemplate(1, &all[at].Spec.Template)
	return w.Flush()
}

// undo makes the template of an earlier revision the Deployment's own again.
func undo(s *session, t target, revision int64) error {
	d, all, err := s.history(t)
	if err != nil {
		return err
	}
	rs, err := revisionToRestore(d, all, revision)
	if err != nil {
		return err
	}
	if d.Spec.Paused {
		return fmt.Errorf("you cannot rollback a paused deployment; resume it first with 'covey rollout resume' and try again")
	}
	template := rs.Spec.Template.DeepCopy()
	delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	if apiequality.Semantic.DeepEqual(template, &d.Spec.Template) {
		s.say("%s skipped rollback (current template already matches revision %d)", t.object(), revisionOf(rs))
		return nil
	}
	patch := []object{
		{"op": "replace", "path": "/spec/template", "value": template},
		{"op": "replace", "path": "/metadata/annotations", "value": restoredAnnotations(d, rs)},
	}
	if d.Annotations == nil {
		patch[1]["op"] = "add"
	}
	if err := s.patch(t, client.JSONPatch, patch); err != nil {
		return &client.LocatedError{Doing: "failed restoring revision " + strconv.FormatInt(revisionOf(rs), 10), Err: err}
	}
	s.say("%s rolled back", t.object())
	return nil
}

// revisionToRestore picks a revision out of all, 0 being the one before the newest.
func revisionToRestore(d *appsv1.Deployment, all []appsv1.ReplicaSet, revision int64) (*appsv1.ReplicaSet, error) {
	if revision != 0 {
		at := slices.IndexFunc(all, func(rs appsv1.ReplicaSet) bool { return revisionOf(&rs) == revision })
		if at < 0 {
			return nil, fmt.Errorf("unable to find specified revision %d in history", revision)
		}
		return &all[at], nil
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("no rollout history found for deployment %q", d.Name)
	}
	return &all[len(all)-2], nil
}

func restoredAnnotations(d *appsv1.Deployment, rs *appsv1.ReplicaSet) map[string]string {
	out := map[string]string{}
	for k, v := range rs.Annotations {
		if !slices.Contains(ownAnnotations, k) {
			out[k] = v
		}
	}
	for _, k := range ownAnnotations {
		if v, ok := d.Annotations[k]; ok {
			out[k] = v
		}
	}
	return out
}
