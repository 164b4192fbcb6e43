package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/e2e/harness"
)

// TestSevenServersLoseTwo grows a cluster from five servers to seven, kills two voters at once, the leader among them, freezes the next
// leader, and at last kills all of them at once.
func TestSevenServersLoseTwo(t *testing.T) {
	t.Parallel()
	c := harness.StartCluster(t, 5)
	f := &faults{T: t, cluster: c}
	first := c.Nodes[0]
	first.Eventually(func() error { return votes(first, 3) })
	token := strings.TrimSpace(first.Covey("token", "create"))
	for range 2 {
		c.Add("--join", c.Address(1), "--token", token).Start()
	}
	first.Eventually(func() error { return votes(first, 5) })

	ctx := context.Background()
	put(t, first, "written", "before")
	leader, survivor := f.roles(ctx)
	voter := f.voter(ctx, survivor)
	leader.Kill()
	voter.Kill()
	put(t, survivor, "written", "without two")
	leader.Start()
	voter.Start()
	survivor.Eventually(func() error { return votes(survivor, 5) })

	next, other := f.roles(ctx)
	thawed := make(chan struct{})
	go func() {
		defer close(thawed)
		next.Freeze(45 * time.Second)
	}()
	defer func() { <-thawed }() // a process that is stopped cannot be ended
	put(t, other, "written", "while the leader is frozen")
	select {
	case <-thawed:
		t.Error("the write waited for the leader to thaw")
	default:
		<-thawed
	}
	next.Eventually(func() error { return holds(next, "written", "while the leader is frozen") })

	c.RestartAll()
	for _, n := range c.Nodes {
		n.Eventually(func() error { return holds(n, "written", "while the leader is frozen") })
		n.Eventually(func() error { return ready(first, n.Name(), corev1.ConditionTrue) })
	}
}

// votes wants so many voters, all of them alive.
func votes(n *harness.Node, want int) error {
	members, err := members(context.Background(), n)
	if err != nil {
		return err
	}
	have := 0
	for _, m := range members {
		if m.Alive && (m.Role == "leader" || m.Role == "voter") {
			have++
		}
	}
	if have != want {
		return fmt.Errorf("%d voters, want %d: %+v", have, want, members)
	}
	return nil
}

// roles are the leader and a node that lives and does not vote or, where all do, does not lead.
func (f *faults) roles(ctx context.Context) (leader, other *harness.Node) {
	f.Helper()
	f.alive().Eventually(func() error {
		members, err := members(ctx, f.alive())
		leader, other = nil, nil
		for _, m := range members {
			switch n := f.named(m.Name); {
			case n == nil || n.PID() == 0:
			case m.Role == "leader":
				leader = n
			case m.Role == "follower" || other == nil:
				other = n
			}
		}
		if leader == nil || other == nil {
			return fmt.Errorf("want a leader and another node: %+v, %w", members, err)
		}
		return nil
	})
	return leader, other
}

// voter is one that lives and does not lead.
func (f *faults) voter(ctx context.Context, asked *harness.Node) *harness.Node {
	f.Helper()
	members, err := members(ctx, asked)
	for _, m := range members {
		if n := f.named(m.Name); m.Role == "voter" && n.PID() != 0 {
			return n
		}
	}
	f.Fatalf("no voter: %+v, %v", members, err)
	return nil
}

func (f *faults) named(name string) *harness.Node {
	for _, n := range f.cluster.Nodes {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

func (f *faults) alive() *harness.Node {
	for _, n := range f.cluster.Nodes {
		if n.PID() != 0 {
			return n
		}
	}
	return nil
}

// put creates or changes a config map, for which there is a minute as for any request.
func put(t *testing.T, n *harness.Node, name, value string) {
	t.Helper()
	began := time.Now()
	maps := n.Clients.CoreV1().ConfigMaps("default")
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"v": value}}
	_, err := maps.Update(context.Background(), object, metav1.UpdateOptions{})
	if err != nil {
		_, err = maps.Create(context.Background(), object, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatalf("write %.30q through %s: %v", value, n.Name(), err)
	}
	t.Logf("%.30q was written through %s within %v", value, n.Name(), time.Since(began).Round(time.Millisecond))
}

func holds(n *harness.Node, name, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m, err := n.Clients.CoreV1().ConfigMaps("default").Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if m.Data["v"] != value {
		return fmt.Errorf("%s holds %q on %s, want %q", name, m.Data["v"], n.Name(), value)
	}
	return nil
}

// TestAFullDiskOfOneServer fills the disk of a follower and then of the leader: the others take writes, and each has all of them when
// there is room again.
func TestAFullDiskOfOneServer(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t)
	f := &faults{T: t, cluster: c}
	args := []string{"--eviction-hard", "nodefs.available<0%,imagefs.available<0%,nodefs.inodesFree<0%,imagefs.inodesFree<0%"}
	for i := range 3 {
		n := c.Add(args...)
		n.OnSmallDisk(128 << 20)
		n.Start()
		if i == 0 {
			args = append(args, "--join", c.Address(1), "--token", strings.TrimSpace(n.Covey("token", "create")))
		}
	}
	c.Nodes[0].Eventually(func() error { return votes(c.Nodes[0], 3) })
	leader, follower := f.roles(context.Background())
	for _, victim := range []*harness.Node{follower, leader} {
		full := filepath.Join(victim.DataDir, "full")
		fill(t, full)
		writer := c.Nodes[0]
		if writer == victim {
			writer = c.Nodes[1]
		}
		// The log has room left in the file that it writes.
		for i := range 12 {
			put(t, writer, fmt.Sprint("written-", i), victim.Name()+noise(800<<10))
		}
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
		put(t, writer, "written", "beside "+victim.Name())
		victim.Eventually(func() error { return holds(victim, "written", "beside "+victim.Name()) })
		victim.Eventually(func() error {
			list, err := victim.Clients.CoreV1().ConfigMaps("default").List(context.Background(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			for _, m := range list.Items {
				if strings.HasPrefix(m.Name, "written-") && !strings.HasPrefix(m.Data["v"], victim.Name()) {
					return errors.New(m.Name + " is an old one")
				}
			}
			return nil
		})
	}
}
