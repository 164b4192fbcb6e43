package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// defaultContainerAnnotation names the container of a pod that is meant where none is named.
const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container"

// podFor finds the pod that an argument means: POD, pod/POD, or any pod of TYPE/NAME.
func (s *session) podFor(arg string) (*corev1.Pod, error) {
	if !strings.Contains(arg, "/") {
		arg = "pods/" + arg
	}
	targets, err := s.targets([]string{arg}, &selection{})
	if err != nil {
		return nil, err
	}
	t := targets[0]
	if t.GroupResource() == "pods" {
		var p corev1.Pod
		return &p, s.get(t, &p)
	}
	pods, err := s.podsOfOwner(t)
	if err != nil {
		return nil, err
	}
	if len(pods) > 1 {
		s.note("Found %d pods, using pod/%s", len(pods), pods[0].Name)
	}
	return &pods[0], nil
}

// podsOfOwner lists the pods that an object's selector picks, those that are the most alive first; there is at least one.
func (s *session) podsOfOwner(t target) ([]corev1.Pod, error) {
	var owner struct {
		Spec struct {
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"spec"`
	}
	if err := s.get(t, &owner); err != nil {
		return nil, err
	}
	if owner.Spec.Selector == nil {
		return nil, fmt.Errorf("%s has no selector for pods", t.object())
	}
	pods, err := s.podsOf(t.namespace, owner.Spec.Selector)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("%s has no pods", t.object())
	}
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(liveliness(&b), liveliness(&a)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
	})
	return pods, nil
}

// liveliness ranks pods by how likely a user means them.
func liveliness(p *corev1.Pod) int {
	rank := map[corev1.PodPhase]int{corev1.PodRunning: 4, corev1.PodPending: 2}[p.Status.Phase]
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			rank += 2
		}
	}
	if p.DeletionTimestamp != nil {
		rank -= 3
	}
	return rank
}

// containerNames are all containers of a pod in the order in which they start.
func containerNames(p *corev1.Pod) []string {
	var names []string
	for _, c := range p.Spec.InitContainers {
		names = append(names, c.Name)
	}
	for _, c := range p.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, c := range p.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	return names
}

// containerFor finds the container that is meant, and says so where there was a choice.
func (s *session) containerFor(p *corev1.Pod, name string, quiet bool) (string, error) {
	all := containerNames(p)
	if name != "" {
		if !slices.Contains(all, name) {
			return "", fmt.Errorf("container %s not found in pod %s; there are: %s", name, p.Name, strings.Join(all, ", "))
		}
		return name, nil
	}
	if chosen := p.Annotations[defaultContainerAnnotation]; slices.Contains(all, chosen) {
		return chosen, nil
	}
	if len(p.Spec.Containers) == 0 {
		return "", fmt.Errorf("pod %s has no containers", p.Name)
	}
	first := p.Spec.Containers[0].Name
	if len(all) > 1 && !quiet {
		s.note("Defaulted container %q out of: %s", first, strings.Join(all, ", "))
	}
	return first, nil
}
