package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/scheduler/controller"
)

// sim is a cluster of one deployment in memory: it applies what the controllers decide.
type sim struct {
	t       testing.TB
	now     time.Time
	ids     int
	d       *appsv1.Deployment
	sets    map[string]*appsv1.ReplicaSet
	pods    map[string]*corev1.Pod
	events  []string
	due     time.Time
	stopped func(*sim) // called after each step
}

func newSim(t testing.TB, spec string) *sim {
	s := &sim{
		t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		sets: map[string]*appsv1.ReplicaSet{}, pods: map[string]*corev1.Pod{},
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web-uid", Generation: 1}}
	if err := yaml.UnmarshalStrict([]byte(spec), &d.Spec); err != nil {
		t.Fatal(err)
	}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	d.Spec.Template.Labels = map[string]string{"app": "web"}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "v1"}}
	s.d = d
	return s
}

func (s *sim) env() controller.Env {
	return controller.Env{
		Now:    s.now,
		NewUID: func() types.UID { s.ids++; return types.UID(fmt.Sprint("uid-", s.ids)) },
		Suffix: func() string { s.ids++; return fmt.Sprintf("%05d", s.ids) },
	}
}

func (s *sim) apply(r controller.Result) {
	for _, c := range r.Changes {
		gone := c.Verb == controller.Delete
		switch obj := c.Object.(type) {
		case *appsv1.Deployment:
			s.d = obj
		case *appsv1.ReplicaSet:
			if s.sets[obj.Name] = obj; gone {
				delete(s.sets, obj.Name)
			}
		case *corev1.Pod:
			if _, there := s.pods[obj.Name]; there == (c.Verb == controller.Create) {
				s.t.Fatalf("verb %d on pod %s", c.Verb, obj.Name)
			}
			if s.pods[obj.Name] = obj; gone {
				delete(s.pods, obj.Name)
			}
		}
	}
	for _, e := range r.Events {
		s.events = append(s.events, e.Reason+": "+e.Message)
	}
	if s.due = r.Due; s.stopped != nil {
		s.stopped(s)
	}
}

// deployment takes one decision about the deployment, replicaSets one about each replica set.
func (s *sim) deployment() bool {
	in := controller.DeploymentInput{Deployment: s.d, NameTaken: func(n string) bool { return s.sets[n] != nil }}
	for _, rs := range s.sets {
		in.ReplicaSets = append(in.ReplicaSets, rs)
	}
	for _, p := range s.pods {
		in.Pods = append(in.Pods, p)
	}
	r := controller.Deployment(in, s.env())
	s.apply(r)
	return len(r.Changes) > 0
}

func (s *sim) replicaSets() bool {
	changed := false
	for _, name := range s.setNames() {
		in := controller.ReplicaSetInput{ReplicaSet: s.sets[name]}
		for _, p := range s.pods {
			in.Pods = append(in.Pods, p)
		}
		r := controller.ReplicaSet(in, s.env())
		s.apply(r)
		changed = changed || len(r.Changes) > 0
	}
	return changed
}

// settle decides until nothing is left to decide.
func (s *sim) settle() {
	s.t.Helper()
	for range 100 {
		if !s.replicaSets() && !s.deployment() {
			return
		}
	}
	s.t.Fatal("the controllers do not come to rest")
}

func (s *sim) setNames() []string {
	var names []string
	for name := range s.sets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s *sim) podNames() []string {
	var names []string
	for name := range s.pods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ready makes a pod run and be ready, as its agent would.
func (s *sim) ready(name string) {
	p := s.pods[name].DeepCopy()
	p.Spec.NodeName, p.Status.Phase = "node", corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(s.now)}}
	s.pods[name] = p
}

// agent makes all pods ready and buries those that are being deleted.
func (s *sim) agent() {
	for _, name := range s.podNames() {
		if s.pods[name].DeletionTimestamp != nil {
			delete(s.pods, name)
		} else if s.pods[name].Status.Phase == corev1.PodPending {
			s.ready(name)
		}
	}
}

// run lets agent and controllers take turns until the deployment is complete.
func (s *sim) run() {
	s.t.Helper()
	for range 200 {
		s.settle()
		if s.complete() {
			return
		}
		s.agent()
	}
	s.t.Fatalf("the rollout does not end:\n%s", s)
}

func (s *sim) complete() bool {
	st, n := s.d.Status, *s.d.Spec.Replicas
	return st.ObservedGeneration == s.d.Generation && st.Replicas == n && st.UpdatedReplicas == n && st.AvailableReplicas == n
}

func (s *sim) update(change func(*appsv1.DeploymentSpec)) {
	s.d = s.d.DeepCopy()
	change(&s.d.Spec)
	s.d.Generation++
	s.now = s.now.Add(10 * time.Second)
}

func image(v string) func(*appsv1.DeploymentSpec) {
	return func(spec *appsv1.DeploymentSpec) { spec.Template.Spec.Containers[0].Image = v }
}

func scaleTo(n int32) func(*appsv1.DeploymentSpec) {
	return func(spec *appsv1.DeploymentSpec) { spec.Replicas = &n }
}

// byImage finds the replica set of an image.
func (s *sim) byImage(v string) *appsv1.ReplicaSet {
	s.t.Helper()
	for _, rs := range s.sets {
		if rs.Spec.Template.Spec.Containers[0].Image == v {
			return rs
		}
	}
	s.t.Fatalf("no replica set has the image %s:\n%s", v, s)
	return nil
}

// String tells the state: replica sets oldest revision first, and conditions.
func (s *sim) String() string {
	var lines []string
	for _, rs := range s.sets {
		lines = append(lines, fmt.Sprintf("revision %s: %s want %d have %d available %d",
			rs.Annotations["deployment.kubernetes.io/revision"], rs.Spec.Template.Spec.Containers[0].Image, *rs.Spec.Replicas,
			rs.Status.Replicas, rs.Status.AvailableReplicas))
	}
	slices.Sort(lines)
	var conditions []string
	for _, c := range s.d.Status.Conditions {
		conditions = append(conditions, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
	}
	slices.Sort(conditions)
	lines = append(lines, conditions...)
	return strings.Join(lines, "\n")
}
