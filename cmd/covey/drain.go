package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
)

// evictPause is how long after a budget refused an eviction it is tried again.
const evictPause = 2 * time.Second

type drainOptions struct {
	*options
	selection
	podLabels        string
	force            bool
	ignoreDaemonSets bool
	deleteEmptyDir   bool
	disableEviction  bool
	graceSeconds     int64
	skipGoingSeconds int64
	timeout          time.Duration
	dryRun           string
}

func newDrainCommand(base *options) *cobra.Command {
	o := &drainOptions{options: base}
	cmd := &cobra.Command{
		Use:   "drain NODE...",
		Short: "Have a node's pods run elsewhere, and no new ones placed on it",
		Long: `Have a node's pods run elsewhere, and no new ones placed on it.

The pods are evicted, which waits for what their PodDisruptionBudgets allow. "covey uncordon" takes the node into use again.`,
		Example:           "  covey drain node-3\n  covey drain node-3 --ignore-daemonsets --delete-emptydir-data --timeout=5m",
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: base.completeOf("nodes"),
	}
	f := cmd.Flags()
	base.addFlags(f)
	o.addLabels(f)
	f.StringVar(&o.podLabels, "pod-selector", "", "only pods with these labels")
	f.BoolVar(&o.force, "force", false, "delete pods that no controller starts elsewhere")
	f.BoolVar(&o.ignoreDaemonSets, "ignore-daemonsets", false, "leave the pods of DaemonSets, which would be started again")
	f.BoolVar(&o.deleteEmptyDir, "delete-emptydir-data", false, "delete pods with emptyDir volumes, and what is in these")
	f.BoolVar(&o.disableEviction, "disable-eviction", false, "delete pods instead, past their PodDisruptionBudgets")
	f.Int64Var(&o.graceSeconds, "grace-period", -1, "seconds that pods have to stop; -1: what they say themselves")
	f.Int64Var(&o.skipGoingSeconds, "skip-wait-for-delete-timeout", 0, "do not wait for pods whose deletion began more than so many seconds ago; 0: wait for all")
	f.DurationVar(&o.timeout, "timeout", 0, "how long it may take, such as 5m; 0: as long as it takes")
	f.StringVar(&o.dryRun, "dry-run", "none", "client: say what would be done, and do nothing")
	f.Lookup("dry-run").NoOptDefVal = "client"
	return cmd
}

func (o *drainOptions) run(cmd *cobra.Command, args []string) error {
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	nodes, err := s.nodes(args, &o.selection)
	if err != nil {
		return err
	}
	return forEach(nodes, func(n target) error {
		if err := o.drain(s, n); err != nil {
			return fmt.Errorf("unable to drain node %q: %w", n.name, err)
		}
		return nil
	})
}

// drain cordons a node and evicts its pods, and returns when they are gone.
func (o *drainOptions) drain(s *session, node target) error {
	dryRun := o.dryRun != "none" && o.dryRun != ""
	if err := s.cordon(node, true, dryRun); err != nil {
		return err
	}
	pods, err := s.podsOn(node.name, o.podLabels)
	if err != nil {
		return err
	}
	pods, err = o.choose(s, pods)
	if err != nil {
		return err
	}
	if dryRun {
		for _, p := range pods {
			s.say("evicting pod %s/%s (dry run)", p.Namespace, p.Name)
		}
		s.say("%s drained (dry run)", node.object())
		return nil
	}
	if err := o.evictAll(s, pods); err != nil {
		return err
	}
	s.say("%s drained", node.object())
	return nil
}

func (s *session) podsOn(node, labels string) ([]corev1.Pod, error) {
	r, err := s.lookup("pods")
	if err != nil {
		return nil, err
	}
	sel := selection{labels: labels, fields: "spec.nodeName=" + node}
	var pods []corev1.Pod
	err = s.list(target{Resource: r}, sel.query(), func(raw json.RawMessage) error {
		var pod corev1.Pod
		if err := json.Unmarshal(raw, &pod); err != nil {
			return fmt.Errorf("decode a pod: %w", err)
		}
		pods = append(pods, pod)
		return nil
	})
	return pods, err
}

// evictAll evicts pods side by side, and says so one line at a time.
func (o *drainOptions) evictAll(s *session, pods []corev1.Pod) error {
	ctx := s.ctx()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not all pods are gone after %v", o.timeout))
		defer cancel()
	}
	r, err := s.lookup("pods")
	if err != nil {
		return err
	}
	var (
		mu      sync.Mutex
		errs    []error
		evictor sync.WaitGroup
	)
	locked := func(do func()) {
		mu.Lock()
		defer mu.Unlock()
		do()
	}
	for _, pod := range pods {
		t := doomed{target: target{Resource: r, namespace: pod.Namespace, name: pod.Name}, uid: pod.UID}
		s.say("evicting pod %s/%s", pod.Namespace, pod.Name)
		evictor.Go(func() {
			err := o.evict(ctx, s, t, func(refused error) {
				locked(func() {
					s.note("error when evicting pods/%q -n %q (will retry after %v): %v", t.name, t.namespace, evictPause, withCauses(refused))
				})
			})
			locked(func() {
				if err != nil {
					errs = append(errs, fmt.Errorf("pod %s/%s: %w", t.namespace, t.name, err))
					return
				}
				s.say("%s evicted", t.object())
			})
		})
	}
	evictor.Wait()
	return failed(errs)
}

// evict returns when the pod is gone.
func (o *drainOptions) evict(ctx context.Context, s *session, pod doomed, refused func(error)) error {
	for {
		err := o.askToGo(ctx, s, pod.target)
		switch {
		case err == nil, apierrors.IsNotFound(err):
			err := s.waitOneGone(ctx, pod)
			if err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !apierrors.IsTooManyRequests(err):
			return err
		}
		refused(err)
		select {
		case <-time.After(evictPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), withCauses(err))
		}
	}
}

// withCauses adds to what the API refused why it did: which disruption budget needs how many pods.
func withCauses(err error) error {
	var refused apierrors.APIStatus
	if !errors.As(err, &refused) || refused.Status().Details == nil {
		return err
	}
	for _, cause := range refused.Status().Details.Causes {
		err = fmt.Errorf("%w %s", err, cause.Message)
	}
	return err
}

func (o *drainOptions) askToGo(ctx context.Context, s *session, pod target) error {
	opts := &metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}}
	if o.graceSeconds >= 0 {
		opts.GracePeriodSeconds = &o.graceSeconds
	}
	r := client.Request{Method: http.MethodDelete, Path: pod.path()}
	var body any = opts
	if !o.disableEviction {
		r = client.Request{Method: http.MethodPost, Path: pod.path("eviction")}
		body = &policyv1.Eviction{
			TypeMeta:      metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"},
			ObjectMeta:    metav1.ObjectMeta{Namespace: pod.namespace, Name: pod.name},
			DeleteOptions: opts,
		}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r.ContentType, r.Body = client.JSON, bytes.NewReader(data)
	_, _, err = s.Do(ctx, r)
	return err
}
