// Package env resolves a container's environment, command and arguments.
//
// What comes in: the pod, one of its containers, and where ConfigMaps and Secrets are read. What goes out: KEY=value in the
// order of the manifest, with $(NAME) expanded as Kubernetes does it. The agent calls it before it creates a container.
package env

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"

	"covey.dev/covey/agent/downward"
)

// Source reads the objects that an environment refers to; the errors of missing ones satisfy IsMissing.
type Source interface {
	ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	IsMissing(err error) bool
}

// Environment is a container's resolved environment.
type Environment struct {
	names  []string
	values map[string]string
}

// List is KEY=value in order.
func (e *Environment) List() []string {
	list := make([]string, len(e.names))
	for i, name := range e.names {
		list[i] = name + "=" + e.values[name]
	}
	return list
}

// Expand replaces $(NAME) in words; what is not set stays as it is.
func (e *Environment) Expand(words []string) []string {
	if words == nil {
		return nil
	}
	mapping := expansion.MappingFuncFor(e.values)
	out := make([]string, len(words))
	for i, word := range words {
		out[i] = expansion.Expand(word, mapping)
	}
	return out
}

func (e *Environment) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

// resolver resolves one container's environment.
type resolver struct {
	Source
	pod         *corev1.Pod
	container   *corev1.Container
	allocatable corev1.ResourceList
}

// Resolve reads envFrom first and env after it, so that env wins. allocatable is the node's, for resource fields without a
// limit.
func Resolve(ctx context.Context, src Source, pod *corev1.Pod, c *corev1.Container, allocatable corev1.ResourceList) (*Environment, error) {
	r := resolver{src, pod, c, allocatable}
	e := &Environment{values: map[string]string{}}
	for _, from := range c.EnvFrom {
		if err := r.from(ctx, e, from); err != nil {
			return nil, err
		}
	}
	for _, v := range c.Env {
		value, set, err := r.value(ctx, e, v)
		if err != nil {
			return nil, err
		}
		if set {
			e.set(v.Name, value)
		}
	}
	return e, nil
}

func (r resolver) from(ctx context.Context, e *Environment, from corev1.EnvFromSource) error {
	data := map[string]string{}
	switch {
	case from.ConfigMapRef != nil:
		cm, err := r.ConfigMap(ctx, r.pod.Namespace, from.ConfigMapRef.Name)
		if err != nil {
			return r.absent(err, from.ConfigMapRef.Optional)
		}
		data = cm.Data
	case from.SecretRef != nil:
		secret, err := r.Secret(ctx, r.pod.Namespace, from.SecretRef.Name)
		if err != nil {
			return r.absent(err, from.SecretRef.Optional)
		}
		for key, value := range secret.Data {
			data[key] = string(value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		e.set(from.Prefix+key, data[key])
	}
	return nil
}

func (r resolver) value(ctx context.Context, e *Environment, v corev1.EnvVar) (value string, set bool, err error) {
	from := v.ValueFrom
	switch {
	case from == nil:
		return expansion.Expand(v.Value, expansion.MappingFuncFor(e.values)), true, nil
	case from.FieldRef != nil:
		value, err = downward.Field(r.pod, from.FieldRef.FieldPath)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = downward.Resource(r.pod, r.container.Name, from.ResourceFieldRef, r.allocatable)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		return r.configMapKey(ctx, from.ConfigMapKeyRef)
	case from.SecretKeyRef != nil:
		return r.secretKey(ctx, from.SecretKeyRef)
	}
	return "", false, fmt.Errorf("environment variable %s: no source that covey knows", v.Name)
}

func (r resolver) configMapKey(ctx context.Context, ref *corev1.ConfigMapKeySelector) (string, bool, error) {
	cm, err := r.ConfigMap(ctx, r.pod.Namespace, ref.Name)
	if err != nil {
		return "", false, r.absent(err, ref.Optional)
	}
	if value, ok := cm.Data[ref.Key]; ok {
		return value, true, nil
	}
	return "", false, noKey("ConfigMap", r.pod.Namespace, ref.Name, ref.Key, ref.Optional)
}

func (r resolver) secretKey(ctx context.Context, ref *corev1.SecretKeySelector) (string, bool, error) {
	secret, err := r.Secret(ctx, r.pod.Namespace, ref.Name)
	if err != nil {
		return "", false, r.absent(err, ref.Optional)
	}
	if value, ok := secret.Data[ref.Key]; ok {
		return string(value), true, nil
	}
	return "", false, noKey("Secret", r.pod.Namespace, ref.Name, ref.Key, ref.Optional)
}

// absent passes an optional object over that is not there.
func (r resolver) absent(err error, optional *bool) error {
	if !r.IsMissing(err) {
		return err
	}
	if optional != nil && *optional {
		return nil
	}
	return err
}

func noKey(kind, namespace, name, key string, optional *bool) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("couldn't find key %s in %s %s/%s", key, kind, namespace, name)
}
