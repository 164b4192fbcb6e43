package volume

import (
	"context"
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/downward"
)

// file is one file of a volume made from the API. Mode 0 stands for the volume's default mode.
type file struct {
	data []byte
	mode int32
}

// files collects what a volume is to contain, by path, and its default mode.
func (v *Volumes) files(ctx context.Context, vol *corev1.Volume) (map[string]file, int32, error) {
	out := map[string]file{}
	var err error
	mode := int32(0o644)
	switch {
	case vol.ConfigMap != nil:
		s := vol.ConfigMap
		err, mode = v.configMap(ctx, out, s.Name, s.Items, s.Optional), orDefault(s.DefaultMode)
	case vol.Secret != nil:
		s := vol.Secret
		err, mode = v.secret(ctx, out, s.SecretName, s.Items, s.Optional), orDefault(s.DefaultMode)
	case vol.DownwardAPI != nil:
		err, mode = v.downward(out, vol.DownwardAPI.Items), orDefault(vol.DownwardAPI.DefaultMode)
	case vol.Projected != nil:
		err, mode = v.projected(ctx, out, vol.Projected.Sources), orDefault(vol.Projected.DefaultMode)
	}
	return out, mode, err
}

func (v *Volumes) projected(ctx context.Context, out map[string]file, sources []corev1.VolumeProjection) error {
	for _, s := range sources {
		var err error
		switch {
		case s.ConfigMap != nil:
			err = v.configMap(ctx, out, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional)
		case s.Secret != nil:
			err = v.secret(ctx, out, s.Secret.Name, s.Secret.Items, s.Secret.Optional)
		case s.DownwardAPI != nil:
			err = v.downward(out, s.DownwardAPI.Items)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *Volumes) configMap(ctx context.Context, out map[string]file, name string, items []corev1.KeyToPath, optional *bool) error {
	cm, err := v.Source.ConfigMap(ctx, v.Pod.Namespace, name)
	if err != nil {
		return v.absent(err, optional)
	}
	data := make(map[string][]byte, len(cm.Data)+len(cm.BinaryData))
	for key, value := range cm.Data {
		data[key] = []byte(value)
	}
	for key, value := range cm.BinaryData {
		data[key] = value
	}
	return pick(out, data, items, optional, "configmap", name)
}

func (v *Volumes) secret(ctx context.Context, out map[string]file, name string, items []corev1.KeyToPath, optional *bool) error {
	secret, err := v.Source.Secret(ctx, v.Pod.Namespace, name)
	if err != nil {
		return v.absent(err, optional)
	}
	return pick(out, secret.Data, items, optional, "secret", name)
}

func (v *Volumes) downward(out map[string]file, items []corev1.DownwardAPIVolumeFile) error {
	for _, item := range items {
		var value string
		var err error
		if item.FieldRef != nil {
			value, err = downward.Field(v.Pod, item.FieldRef.FieldPath)
		} else if item.ResourceFieldRef != nil {
			value, err = downward.Resource(v.Pod, "", item.ResourceFieldRef, v.Allocatable)
		}
		if err != nil {
			return err
		}
		out[path.Clean(item.Path)] = file{[]byte(value), orZero(item.Mode)}
	}
	return nil
}

// pick takes all keys, or those that items name under the paths they give.
func pick(out map[string]file, data map[string][]byte, items []corev1.KeyToPath, optional *bool, kind, name string) error {
	if items == nil {
		for key, value := range data {
			out[key] = file{value, 0}
		}
		return nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return fmt.Errorf("%s %q references non-existent key: %s", kind, name, item.Key)
		}
		out[path.Clean(item.Path)] = file{value, orZero(item.Mode)}
	}
	return nil
}

func (v *Volumes) absent(err error, optional *bool) error {
	if !v.Source.IsMissing(err) {
		return err
	}
	if optional != nil && *optional {
		return nil
	}
	return err
}

func orDefault(mode *int32) int32 {
	if mode == nil {
		return 0o644
	}
	return *mode
}

func orZero(mode *int32) int32 {
	if mode == nil {
		return 0
	}
	return *mode
}
