package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// objects is how many there are in every load.
const objects = 1000

// examplePod is a pod as people write them, with names and values of its own, of some 1.5 kB. It waits for a scheduler that there
// is not, so that it stays as it is.
func examplePod(i int) *corev1.Pod {
	token := func(what string) string { return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, what, i)))[:24] }
	name := fmt.Sprintf("%s-%06d", token("name")[:10], i)
	port := corev1.ContainerPort{Name: "http", ContainerPort: int32(8000 + i%1000), Protocol: corev1.ProtocolTCP}
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{PeriodSeconds: int32(5 + i%10), TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: "HTTP"}}}
	}
	container := func(which string) corev1.Container {
		return corev1.Container{
			Name: which + token(which)[:6], Image: "registry.example.com/" + token("team")[:8] + "/" + which + ":" + token("tag")[:12],
			Ports: []corev1.ContainerPort{port},
			Env: []corev1.EnvVar{
				{Name: "DATABASE_URL", Value: "postgres://" + token("user") + "@db.internal:5432/" + token("db")},
				{Name: "FEATURES", Value: token("feature") + "," + token(which)},
				{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"}}},
			},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")},
				Limits:   corev1.ResourceList{"memory": resource.MustParse("128Mi")},
			},
			ReadinessProbe: probe("/healthz"), LivenessProbe: probe("/livez"),
			VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/" + token("app")[:8]}},
		}
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name,
		Labels:      map[string]string{"app": token("app")[:8], "version": token("tag")[:12], "tier": "front"},
		Annotations: map[string]string{"n": "000000000", "example.com/commit": token("commit")},
	}}
	p.Spec.SchedulerName = "none"
	p.Spec.Containers = []corev1.Container{container("web"), container("metrics")}
	p.Spec.Containers[1].Ports = nil
	p.Spec.Containers[1].ReadinessProbe, p.Spec.Containers[1].LivenessProbe = nil, nil
	p.Spec.Volumes = []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: token("app")[:8] + "-config"}}}}}
	return p
}

// result is what a load showed.
type result struct {
	count int
	took  time.Duration
	p50   time.Duration
}

func (r result) rate() float64 { return float64(r.count) / r.took.Seconds() }

// drive has clients call do for a time. do gets the client's number and how often it was called by that client.
func drive(ctx context.Context, clients int, last time.Duration, do func(ctx context.Context, client, n int) error) (result, error) {
	took := make([][]time.Duration, clients)
	errs := make([]error, clients)
	begun := time.Now()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := 0; time.Since(begun) < last; n++ {
				at := time.Now()
				if err := do(ctx, c, n); err != nil {
					errs[c] = err
					return
				}
				took[c] = append(took[c], time.Since(at))
			}
		})
	}
	wg.Wait()
	total := time.Since(begun)
	for _, err := range errs {
		if err != nil {
			return result{}, err
		}
	}
	all := slices.Concat(took...)
	return result{count: len(all), took: total, p50: median(all)}, nil
}

func median[T ~int64 | ~float64](all []T) T {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
