package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// objects is how many there are in every load.
const objects = 1000

// examplePod is of the size that pods have, about 1.5 kB, and waits for a scheduler that there is not, so that it stays as it is.
func examplePod(i int) *corev1.Pod {
	name := fmt.Sprintf("web-%06d", i)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"n": "000000000"},
	}}
	p.Spec.SchedulerName = "none"
	for c := range 3 {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
			Name: fmt.Sprintf("c%d", c), Image: "example.com/web:1",
			Env: []corev1.EnvVar{{Name: "TEXT", Value: strings.Repeat("x", 300)}},
		})
	}
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
