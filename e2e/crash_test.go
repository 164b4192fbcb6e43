package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/e2e/harness"
)

// TestAcknowledgedWritesSurviveCrashes kills covey again and again while objects are made. Whatever was acknowledged is
// there at the end, and each pod has one container with one process.
func TestAcknowledgedWritesSurviveCrashes(t *testing.T) {
	t.Parallel()
	crashes := 20
	if text := os.Getenv("COVEY_CRASHES"); text != "" { // make crash
		var err error
		if crashes, err = strconv.Atoi(text); err != nil {
			t.Fatalf("COVEY_CRASHES: %v", err)
		}
	}
	n := harness.Start(t)
	n.Apply(shell("web", sleeps))
	n.Kubectl("scale", "deployment/web", "--replicas=3")
	n.Kubectl("rollout", "status", "deployment/web")
	first := map[string]int{}
	pods, err := n.Pods("app=web")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		first[p.Name] = n.Processes(&p)[0]
	}

	ctx, cancel := context.WithCancel(context.Background())
	acknowledged := map[string]bool{}
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("c-%d", i)
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"i": fmt.Sprint(i)}}
			if _, err := n.Clients.CoreV1().ConfigMaps("default").Create(ctx, cm, metav1.CreateOptions{}); err == nil {
				acknowledged[name] = true
			}
		}
	})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for i := range crashes {
		if i%4 == 0 { // pods come and go while it crashes
			n.Kubectl("scale", "deployment/web", fmt.Sprintf("--replicas=%d", 3+random.IntN(3)))
		}
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond) // when is the question that the test asks
		n.Kill()
		n.Start()
	}
	cancel()
	writing.Wait()
	if len(acknowledged) < crashes {
		t.Errorf("only %d writes were acknowledged", len(acknowledged))
	}

	n.Kubectl("scale", "deployment/web", "--replicas=3")
	n.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	list, err := n.Clients.CoreV1().ConfigMaps("default").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, cm := range list.Items {
		delete(acknowledged, cm.Name)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged writes are lost: %v", len(acknowledged), acknowledged)
	}
	n.Eventually(func() error {
		pods, err := n.Pods("app=web")
		if err != nil {
			return err
		}
		if len(pods) != 3 {
			return fmt.Errorf("%d pods, want 3", len(pods))
		}
		for _, p := range pods {
			if err := harness.Restarts(0)(&p); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			// The shell and its sleep.
			if pids := n.Processes(&p); len(pids) != 2 || first[p.Name] != 0 && first[p.Name] != pids[0] {
				return fmt.Errorf("%s has processes %v, at first it was %d", p.Name, pids, first[p.Name])
			}
		}
		return nil
	})
}
