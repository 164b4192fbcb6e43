package store

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// edgeNode is a Node object as nodes write them, some 2 kB.
func edgeNode(i int, heard time.Time) (Key, *corev1.Node) {
	name := fmt.Sprintf("node-%04d", i)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"kubernetes.io/hostname": name, "kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": fmt.Sprint("shop-", i%500),
	}}}
	room := corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("3884Mi"), "pods": resource.MustParse("110"), "ephemeral-storage": resource.MustParse("29Gi")}
	n.Status.Capacity, n.Status.Allocatable = room, room
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.1.%d.%d", i/250, i%250)}, {Type: corev1.NodeHostName, Address: name}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{
		MachineID: fmt.Sprintf("%032x", i*i), SystemUUID: fmt.Sprintf("%032x", i*i+1), BootID: fmt.Sprintf("%032x", i*i+2),
		KernelVersion: "6.12.1-v8", OSImage: "Debian GNU/Linux 12 (bookworm)", ContainerRuntimeVersion: "containerd://2.4.2", KubeletVersion: "v1.37.2+covey", Architecture: "arm64", OperatingSystem: "linux",
	}
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: "KubeletHasSufficient", Message: "as covey says", LastHeartbeatTime: metav1.NewTime(heard), LastTransitionTime: metav1.NewTime(heard),
		})
	}
	return Key{Resource: "nodes", Name: name}, n
}

// BenchmarkStatusesOf5000Nodes has each of 5,000 nodes write its status once, 256 at a time, through all of five servers that vote,
// as after a power failure. The servers share this machine's disk and processors. docs/scale.md has the figures.
func BenchmarkStatusesOf5000Nodes(b *testing.B) {
	const nodes, servers, atOnce, batch = 5000, 5, 256, 500
	c := &cluster{large: true, wires: &wires{}, dirs: map[string]string{}, stores: map[string]*Store{}, transports: map[string]*hraft.InmemTransport{}}
	stores, _ := c.begin(b, servers)
	heard := time.Now()
	for from := 0; from < nodes; from += batch {
		if _, err := stores[0].Update(b.Context(), func(tx *Tx) error {
			for i := from; i < from+batch; i++ {
				tx.Create(edgeNode(i, heard))
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	var mu sync.Mutex
	var took []time.Duration
	disk, used, rounds := writtenBytes(), processor(b), 0
	for b.Loop() {
		rounds++
		heard = heard.Add(time.Minute)
		var writing sync.WaitGroup
		for w := range atOnce {
			writing.Go(func() {
				for i := w; i < nodes; i += atOnce {
					began := time.Now()
					if _, err := stores[i%servers].Update(b.Context(), func(tx *Tx) error {
						k, n := edgeNode(i, heard)
						rec, _ := tx.Get(k)
						tx.Put(k, n, rec.Revision())
						return nil
					}); err != nil {
						b.Error(err)
						return
					}
					mu.Lock()
					took = append(took, time.Since(began))
					mu.Unlock()
				}
			})
		}
		writing.Wait()
	}
	written := float64(nodes * rounds)
	slices.Sort(took)
	b.ReportMetric(written/b.Elapsed().Seconds(), "statuses/s")
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
	b.ReportMetric(float64(writtenBytes()-disk)/written/servers, "diskB/status/server")
	b.ReportMetric(float64((processor(b)-used).Microseconds())/written, "processor-us/status")
}

// processor is the time that this process has had of it, whatever else the machine does.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
