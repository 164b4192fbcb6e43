package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/cmd/covey/describe"
)

type describeOptions struct {
	*options
	selection
	showEvents bool
}

func newDescribeCommand(base *options) *cobra.Command {
	o := &describeOptions{options: base}
	cmd := &cobra.Command{
		Use:               "describe (TYPE [NAME...] | TYPE/NAME... | -f FILE)",
		Short:             "Show objects in detail, with what happened to them",
		Example:           "  covey describe pod hello-0\n  covey describe deploy -l app=hello",
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: base.completeObjects,
	}
	f := cmd.Flags()
	base.addFlags(f)
	o.addFiles(f)
	o.addLabels(f)
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "objects of all namespaces")
	f.BoolVar(&o.showEvents, "show-events", true, "show what happened to the objects")
	return cmd
}

func (o *describeOptions) run(cmd *cobra.Command, args []string) error {
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	named, err := s.targets(args, &o.selection)
	if err != nil {
		return err
	}
	targets, err := s.each(named, &o.selection)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		s.noteNothingFound(o.allNamespaces || !named[0].Namespaced)
		return nil
	}
	var errs []error
	shown := 0
	for _, t := range targets {
		var text strings.Builder
		found, err := o.describe(s, t, &text)
		if apierrors.IsNotFound(err) && found == 0 {
			// What is no name may be the beginning of one.
			found, err = o.describeMatching(s, t, &text, err)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if shown > 0 {
			s.say("\n")
		}
		shown += found
		fmt.Fprint(cmd.OutOrStdout(), text.String())
	}
	return failed(errs)
}

// describeMatching describes all objects whose names begin with the target's.
func (o *describeOptions) describeMatching(s *session, t target, out *strings.Builder, notFound error) (int, error) {
	all, err := s.each([]target{{Resource: t.Resource, namespace: t.namespace}}, &selection{})
	if err != nil {
		return 0, notFound
	}
	found := 0
	for _, one := range all {
		if !strings.HasPrefix(one.name, t.name) {
			continue
		}
		if found > 0 {
			out.WriteString("\n\n")
		}
		n, err := o.describe(s, one, out)
		if err != nil {
			return found, err
		}
		found += n
	}
	if found == 0 {
		return 0, notFound
	}
	return found, nil
}

// describe writes one object, and returns how many it wrote.
func (o *describeOptions) describe(s *session, t target, out *strings.Builder) (int, error) {
	var raw json.RawMessage
	if err := s.get(t, &raw); err != nil {
		return 0, err
	}
	w := describe.NewWriter(out, time.Now())
	write, known := describers[t.GroupResource()]
	if !known {
		write = writeAny
	}
	if err := write(s, raw, w); err != nil {
		return 0, err
	}
	if o.showEvents && t.GroupResource() != "events" && t.GroupResource() != "configmaps" && t.GroupResource() != "secrets" {
		events, err := s.eventsOf(t, raw)
		if err != nil {
			return 0, err
		}
		w.Events(events)
	}
	return 1, w.Flush()
}

// describers write the kinds that have a layout of their own.
var describers = map[string]func(*session, json.RawMessage, *describe.Writer) error{
	"pods": func(_ *session, raw json.RawMessage, w *describe.Writer) error {
		return decoded(raw, w.Pod)
	},
	"namespaces": func(_ *session, raw json.RawMessage, w *describe.Writer) error {
		return decoded(raw, w.Namespace)
	},
	"configmaps": func(_ *session, raw json.RawMessage, w *describe.Writer) error {
		return decoded(raw, w.ConfigMap)
	},
	"secrets": func(_ *session, raw json.RawMessage, w *describe.Writer) error {
		return decoded(raw, w.Secret)
	},
	"serviceaccounts": func(_ *session, raw json.RawMessage, w *describe.Writer) error {
		return decoded(raw, w.ServiceAccount)
	},
	"nodes":            writeNode,
	"deployments.apps": writeDeployment,
	"replicasets.apps": writeReplicaSet,
}

func decoded[T any](raw json.RawMessage, write func(*T)) error {
	var o T
	if err := json.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("decode the object: %w", err)
	}
	write(&o)
	return nil
}

func writeAny(_ *session, raw json.RawMessage, w *describe.Writer) error {
	o, err := decodeObject(raw, nil)
	if err == nil {
		w.Any(o)
	}
	return err
}

func writeNode(s *session, raw json.RawMessage, w *describe.Writer) error {
	var n corev1.Node
	if err := json.Unmarshal(raw, &n); err != nil {
		return fmt.Errorf("decode the node: %w", err)
	}
	pods, err := s.pods("", url.Values{"fieldSelector": {"spec.nodeName=" + n.Name}})
	if err == nil {
		w.Node(&n, pods)
	}
	return err
}

func writeDeployment(s *session, raw json.RawMessage, w *describe.Writer) error {
	var d appsv1.Deployment
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("decode the deployment: %w", err)
	}
	all, err := s.replicaSets(&d)
	if err == nil {
		newest, old := describe.Split(&d, all)
		w.Deployment(&d, newest, old)
	}
	return err
}

func writeReplicaSet(s *session, raw json.RawMessage, w *describe.Writer) error {
	var rs appsv1.ReplicaSet
	if err := json.Unmarshal(raw, &rs); err != nil {
		return fmt.Errorf("decode the replica set: %w", err)
	}
	pods, err := s.podsOf(rs.Namespace, rs.Spec.Selector)
	if err != nil {
		return err
	}
	var owned []corev1.Pod
	for i := range pods {
		if metav1.IsControlledBy(&pods[i], &rs) {
			owned = append(owned, pods[i])
		}
	}
	w.ReplicaSet(&rs, owned)
	return nil
}

// eventsOf lists what happened to an object; servers without events have none.
func (s *session) eventsOf(t target, raw json.RawMessage) ([]corev1.Event, error) {
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &meta); err != nil {
		return nil, fmt.Errorf("decode the object: %w", err)
	}
	r, err := s.lookup("events")
	if err != nil {
		return nil, nil //nolint:nilerr // as said above
	}
	fields := []string{"involvedObject.name=" + t.name, "involvedObject.kind=" + t.Kind}
	if t.Namespaced {
		fields = append(fields, "involvedObject.namespace="+t.namespace)
	}
	if t.Kind != "Node" { // events about nodes carry the name where others carry the UID
		fields = append(fields, "involvedObject.uid="+string(meta.UID))
	}
	return listed[corev1.Event](s, target{Resource: r, namespace: t.namespace}, url.Values{"fieldSelector": {strings.Join(fields, ",")}})
}

// listed decodes all members of a list.
func listed[T any](s *session, t target, query url.Values) ([]T, error) {
	var all []T
	query.Set("limit", pageSize)
	err := s.list(t, query, func(raw json.RawMessage) error {
		var one T
		if err := json.Unmarshal(raw, &one); err != nil {
			return fmt.Errorf("decode a member of %s: %w", t.Plural, err)
		}
		all = append(all, one)
		return nil
	})
	return all, err
}

func (s *session) pods(namespace string, query url.Values) ([]corev1.Pod, error) {
	r, err := s.lookup("pods")
	if err != nil {
		return nil, err
	}
	return listed[corev1.Pod](s, target{Resource: r, namespace: namespace}, query)
}

// podsOf lists the pods that a selector picks.
func (s *session) podsOf(namespace string, selector *metav1.LabelSelector) ([]corev1.Pod, error) {
	if selector == nil {
		return nil, errors.New("the object has no selector for its pods")
	}
	return s.pods(namespace, url.Values{"labelSelector": {metav1.FormatLabelSelector(selector)}})
}

// replicaSets lists the ReplicaSets that a Deployment owns.
func (s *session) replicaSets(d *appsv1.Deployment) ([]appsv1.ReplicaSet, error) {
	r, err := s.lookup("replicasets.apps")
	if err != nil {
		return nil, err
	}
	query := url.Values{"labelSelector": {metav1.FormatLabelSelector(d.Spec.Selector)}}
	all, err := listed[appsv1.ReplicaSet](s, target{Resource: r, namespace: d.Namespace}, query)
	if err != nil {
		return nil, err
	}
	var owned []appsv1.ReplicaSet
	for i := range all {
		if metav1.IsControlledBy(&all[i], d) {
			owned = append(owned, all[i])
		}
	}
	return owned, nil
}
