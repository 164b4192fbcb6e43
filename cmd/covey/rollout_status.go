package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"covey.dev/covey/api/client"
)

// revisionAnnotation counts the rollouts of a Deployment, on it and on its ReplicaSets.
const revisionAnnotation = "deployment.kubernetes.io/revision"

type rolloutStatusOptions struct {
	watch    bool
	timeout  time.Duration
	revision int64
}

func newRolloutStatusCommand(base *options) *cobra.Command {
	o := &rolloutStatusOptions{}
	cmd := rolloutCommand(base, "status", "Follow a rollout until it is done", o.follow)
	f := cmd.Flags()
	f.BoolVarP(&o.watch, "watch", "w", true, "follow the rollout until it is done")
	f.DurationVar(&o.timeout, "timeout", 0, "how long to follow it, such as 60s; 0: as long as it takes")
	f.Int64Var(&o.revision, "revision", 0, "the revision to follow; another one is an error")
	return cmd
}

var errDone = errors.New("done")

func (o *rolloutStatusOptions) follow(s *session, t target) error {
	ctx := s.ctx()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	err := o.followUntilDone(ctx, s, t)
	switch {
	case errors.Is(err, errDone):
		return nil
	case errors.Is(err, context.DeadlineExceeded) && s.ctx().Err() == nil:
		return errors.New("timed out waiting for the condition")
	}
	return err
}

func (o *rolloutStatusOptions) followUntilDone(ctx context.Context, s *session, t target) error {
	last := ""
	show := func(d *appsv1.Deployment) error {
		text, done, err := rolloutStatus(d, o.revision)
		if err != nil {
			return err
		}
		if text != last {
			s.say("%s", text)
		}
		last = text
		if done || !o.watch {
			return errDone
		}
		return nil
	}
	for {
		var d appsv1.Deployment
		if err := s.Into(ctx, client.Request{Path: t.path()}, &d); err != nil {
			return err
		}
		if err := show(&d); err != nil {
			return err
		}
		request := client.Request{Path: t.collection(), Query: url.Values{"fieldSelector": {"metadata.name=" + t.name}}}
		err := s.Watch(ctx, request, d.ResourceVersion, func(e client.Event) error {
			if e.Type == watch.Deleted {
				return errors.New("object has been deleted")
			}
			var d appsv1.Deployment
			if err := json.Unmarshal(e.Object, &d); err != nil {
				return fmt.Errorf("decode an event: %w", err)
			}
			return show(&d)
		})
		if !client.IsExpired(err) {
			return err
		}
	}
}

// rolloutStatus says how far a Deployment is with its newest template, and whether it is there.
func rolloutStatus(d *appsv1.Deployment, revision int64) (text string, done bool, err error) {
	if revision > 0 {
		if is := revisionOf(d); is != revision {
			return "", false, fmt.Errorf("desired revision (%d) is different from the running revision (%d)", revision, is)
		}
	}
	status, want := d.Status, int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	for _, c := range status.Conditions {
		if d.Generation <= status.ObservedGeneration && c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" {
			return "", false, fmt.Errorf("deployment %q exceeded its progress deadline", d.Name)
		}
	}
	waiting := fmt.Sprintf("Waiting for deployment %q rollout to finish: ", d.Name)
	switch {
	case d.Generation > status.ObservedGeneration:
		return "Waiting for deployment spec update to be observed...", false, nil
	case status.UpdatedReplicas < want:
		return waiting + fmt.Sprintf("%d out of %d new replicas have been updated...", status.UpdatedReplicas, want), false, nil
	case status.Replicas > status.UpdatedReplicas:
		return waiting + fmt.Sprintf("%d old replicas are pending termination...", status.Replicas-status.UpdatedReplicas), false, nil
	case status.AvailableReplicas < status.UpdatedReplicas:
		return waiting + fmt.Sprintf("%d of %d updated replicas are available...", status.AvailableReplicas, status.UpdatedReplicas), false, nil
	}
	return fmt.Sprintf("deployment %q successfully rolled out", d.Name), true, nil
}

// revisionOf is 0 where none is noted.
func revisionOf(o metav1.Object) int64 {
	n, err := strconv.ParseInt(o.GetAnnotations()[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
