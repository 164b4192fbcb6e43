package store

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod is of the size that pods have: about 1.5 kB.
func pod(i int) (Key, *corev1.Pod) {
	name := fmt.Sprintf("web-%06d", i)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}}}
	for c := range 3 {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
			Name: fmt.Sprintf("c%d", c), Image: "example.com/web:1",
			Env: []corev1.EnvVar{{Name: "TEXT", Value: fmt.Sprintf("%0400x", sha256.Sum256(fmt.Append(nil, i, c)))}},
		})
	}
	return Key{Resource: "pods", Namespace: "default", Name: name}, p
}

// writtenBytes is what this process has handed to the disk.
func writtenBytes() (n int64) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "\nwrite_bytes: ")
	_, _ = fmt.Sscan(rest, &n)
	return n
}

func BenchmarkUpdate(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s, stop := start(b, b.TempDir())
			_, p := pod(0)
			ctx := b.Context()
			before := writtenBytes()
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					k := Key{Resource: "pods", Namespace: "default", Name: fmt.Sprintf("p%d", c)}
					for range (b.N + clients - 1) / clients {
						_, err := s.Update(ctx, func(tx *Tx) error {
							tx.Set(k, p)
							return nil
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(writtenBytes()-before)/float64(b.N), "diskB/op")
			stop()
		})
	}
}

// fillPods writes n pods, a few hundred in one transaction.
func fillPods(b *testing.B, s *Store, n int) {
	b.Helper()
	for from := 0; from < n; from += 500 {
		_, err := s.Update(b.Context(), func(tx *Tx) error {
			for i := from; i < min(n, from+500); i++ {
				k, p := pod(i)
				tx.Create(k, p)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s, _ := start(b, b.TempDir())
	fillPods(b, s, 10000)
	keys := make([]Key, 10000)
	for i := range keys {
		keys[i], _ = pod(i)
	}
	b.Run("cached", func(b *testing.B) {
		for i := range b.N {
			if _, ok := Get[*corev1.Pod](s.Snapshot(), keys[i%8]); !ok {
				b.Fatal("not found")
			}
		}
	})
	b.Run("record", func(b *testing.B) {
		for i := range b.N {
			if _, ok := s.Snapshot().Get(keys[i%len(keys)]); !ok {
				b.Fatal("not found")
			}
		}
	})
	b.Run("linearizable", func(b *testing.B) {
		for range b.N {
			if _, err := s.Linearizable(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkList1000(b *testing.B) {
	s, _ := start(b, b.TempDir())
	fillPods(b, s, 1000)
	b.Run("records", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if n := s.Snapshot().Count("pods", "default"); n != 1000 {
				b.Fatal(n)
			}
		}
	})
	b.Run("objects", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			n := 0
			for range List[*corev1.Pod](s.Snapshot(), "pods", "default") {
				n++
			}
			if n != 1000 {
				b.Fatal(n)
			}
		}
	})
}

func BenchmarkAt(b *testing.B) {
	s, _ := start(b, b.TempDir())
	fillPods(b, s, 4000)
	rev := s.Snapshot().Revision()
	for i := range 2000 {
		set(b, s, "default", fmt.Sprintf("m%d", i%100), "1")
	}
	b.ResetTimer()
	for range b.N {
		if _, err := s.At(rev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, stop := start(b, dir)
	fillPods(b, s, 1000)
	for i := range 1000 {
		set(b, s, "default", fmt.Sprintf("m%d", i%100), "1")
	}
	stop()
	b.ResetTimer()
	for range b.N {
		s, stop := start(b, dir)
		if _, err := s.Linearizable(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		stop()
		b.StartTimer()
	}
}

// BenchmarkCreate writes objects whose names come in no order, the state file and the snapshots included.
func BenchmarkCreate(b *testing.B) {
	s, stop := start(b, b.TempDir())
	ctx := b.Context()
	before := writtenBytes()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				k, p := pod(i)
				k.Name = fmt.Sprintf("%x-%d", sha256.Sum256(fmt.Append(nil, i)), i)
				p.Name = k.Name
				if _, err := s.Update(ctx, func(tx *Tx) error { tx.Create(k, p); return nil }); err != nil {
					b.Error(err)
					return
				}
				if i == 4096 || i == 3*4096 || i == 9*4096 { // as far apart as Raft's snapshots are
					if err := s.node.Compact(); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	stop()
	b.StopTimer()
	b.ReportMetric(float64(writtenBytes()-before)/float64(b.N), "diskB/op")
}
