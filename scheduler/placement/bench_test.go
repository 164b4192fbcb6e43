package placement_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/placement"
)

// BenchmarkPlace places pods of 50 replica sets onto 5,000 nodes in 10 zones, half of which carry taints, and counts them
// on their nodes; after 50,000 pods it begins anew. pods/s is per second of CPU time, on one core.
func BenchmarkPlace(b *testing.B) {
	const (
		nearTier   = "podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {tier: 't%[2]d'}}}]}"
		apartHosts = "podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: 'a%[1]d'}}}], " +
			"preferredDuringSchedulingIgnoredDuringExecution: [{weight: 10, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {tier: 't%[2]d'}}}}]}"
		spread = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: 'a%[1]d'}}}, " +
			"{maxSkew: 2, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: 'a%[1]d'}}}]"
		near = "podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 10, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {tier: 't%[2]d'}}}}]}"
	)
	for _, bench := range []struct{ name, spec string }{
		{"plain", ""},
		{"near", "affinity: {" + nearTier + "}\n"},
		{"affinity", "affinity: {" + near + ", " + apartHosts + "}\n"},
		{"spread", spread + "\n"},
		{"both", "affinity: {" + near + ", " + apartHosts + "}\n" + spread + "\n"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var demands []*placement.Demand
			for i := range 50 {
				spec := bench.spec
				if strings.Contains(spec, "%") {
					spec = fmt.Sprintf(spec+"# %[1]d %[2]d\n", i, i/10)
				}
				p := pod(b, spec+"nodeSelector: {half: h"+fmt.Sprint(i%2)+"}\n"+requests("10m", "20Mi"))
				p.Namespace, p.Labels = "default", map[string]string{"app": fmt.Sprint("a", i), "tier": fmt.Sprint("t", i/10)}
				p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(fmt.Sprint("rs-", i)), Controller: new(true)}}
				demands = append(demands, placement.NewDemand(p))
			}
			placeAll(b, demands)
		})
	}
}

func placeAll(b *testing.B, demands []*placement.Demand) {
	c := placement.NewCluster()
	for i := range 5000 {
		n := node(fmt.Sprint("node-", i), "64", "256Gi")
		n.Labels = map[string]string{corev1.LabelHostname: n.Name, "zone": fmt.Sprint(i % 10), "half": fmt.Sprint("h", i/10%2)}
		if i%2 == 0 {
			taint("slow", "", corev1.TaintEffectPreferNoSchedule)(n)
		}
		c.SetNode(n)
	}
	type bound struct {
		on string
		d  *placement.Demand
	}
	var full []bound
	var spent time.Duration
	b.ReportAllocs()
	began := cpuTime(b)
	for i := 0; b.Loop(); i++ {
		d := demands[i/100%len(demands)]
		on, ok := c.Place(d)
		if !ok {
			b.Fatal(i, c.Explain(d))
		}
		c.Add(on, d)
		if full = append(full, bound{on, d}); len(full) == 50_000 {
			b.StopTimer()
			spent += cpuTime(b) - began
			for _, p := range full {
				c.Remove(p.on, p.d)
			}
			full = full[:0]
			began = cpuTime(b)
			b.StartTimer()
		}
	}
	spent += cpuTime(b) - began
	b.ReportMetric(float64(b.N)/spent.Seconds(), "pods/s")
}

// cpuTime is what the process has used, so that figures hold on a busy machine.
func cpuTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
