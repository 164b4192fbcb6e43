package upstream

import (
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/store"
)

func proposing(name, cidr string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}}}
}

// TestNodesThatRegisterAtOnceGetPodCIDRsOfTheirOwn has them all propose the same.
func TestNodesThatRegisterAtOnceGetPodCIDRsOfTheirOwn(t *testing.T) {
	f := setup(t)
	const nodes = 8
	var mu sync.Mutex
	owner := map[string]string{}
	var registering sync.WaitGroup
	for i := range nodes {
		registering.Go(func() {
			node, err := f.register(proposing(fmt.Sprint("n", i), "10.42.3.0/24"))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other := owner[node.Spec.PodCIDR]; other != "" {
				t.Errorf("%s and %s both have %s", node.Name, other, node.Spec.PodCIDR)
			}
			owner[node.Spec.PodCIDR] = node.Name
		})
	}
	registering.Wait()
	if owner["10.42.3.0/24"] == "" {
		t.Errorf("nobody got what all proposed: %v", owner)
	}
}

// TestPodCIDRsOfSeveralSizesDoNotOverlap has nodes that take more pods than others propose networks around each other.
func TestPodCIDRsOfSeveralSizesDoNotOverlap(t *testing.T) {
	f := setup(t)
	for _, node := range []struct{ name, proposed, want string }{
		{"small", "10.42.1.0/24", "10.42.1.0/24"}, {"big", "10.42.0.0/22", "10.42.4.0/22"}, {"second", "10.42.6.0/24", "10.42.0.0/24"},
		{"large", "10.42.2.0/23", "10.42.2.0/23"}, {"third", "10.42.3.0/24", "10.42.8.0/24"},
	} {
		got, err := f.register(proposing(node.name, node.proposed))
		if err != nil || got.Spec.PodCIDR != node.want {
			t.Errorf("%s: %s (%v), want %s", node.name, got.Spec.PodCIDR, err, node.want)
		}
	}
}

// TestNoNodeHasAPodCIDROfItsInvention has nodes propose what no agent does.
func TestNoNodeHasAPodCIDROfItsInvention(t *testing.T) {
	f := setup(t)
	for _, cidr := range []string{
		"0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/8", "10.42.0.0/16", "10.42.0.0/19", "10.42.1.0/23", "10.42.0.7/24", "10.42.0.0/25", "10.42.0.7/32",
		"192.0.2.7/32", "192.168.1.0/24", "10.43.0.0/24", "::/0", "::ffff:10.42.0.0/120", "fd00::/64", "nonsense", "",
	} {
		before := f.store.Snapshot().Revision()
		if node, err := f.register(proposing("n1", cidr)); err == nil {
			t.Errorf("%q: a node has the pod CIDR %s", cidr, node.Spec.PodCIDR)
		}
		if f.store.Snapshot().Revision() != before {
			t.Errorf("%q: something was written", cidr)
		}
	}
	for name, cidr := range map[string]string{"small": "10.42.255.0/24", "large": "10.42.16.0/20"} {
		if node, err := f.register(proposing(name, cidr)); err != nil || node.Spec.PodCIDR != cidr {
			t.Errorf("%s: %v (%v)", cidr, node, err)
		}
	}
	// What it has it keeps, whatever it says later.
	if node, err := f.register(proposing("small", "192.0.2.7/32")); err != nil || node.Spec.PodCIDR != "10.42.255.0/24" {
		t.Errorf("%v (%v)", node, err)
	}
}

func TestPodCIDROfADeletedNodeIsGivenOutAgain(t *testing.T) {
	f := setup(t)
	if _, err := f.register(proposing("old", "10.42.3.0/24")); err != nil {
		t.Fatal(err)
	}
	key := store.Key{Resource: "nodes", Name: "old"}
	if _, err := f.store.Update(f.ctx, func(tx *store.Tx) error {
		rec, _ := tx.Get(key)
		tx.Delete(key, rec.Revision())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	node, err := f.register(proposing("new", "10.42.3.0/24"))
	if err != nil || node.Spec.PodCIDR != "10.42.3.0/24" {
		t.Errorf("%v (%v)", node.Spec.PodCIDR, err)
	}
}

// TestAWitnessThatRunsPodsGetsAPodCIDROfItsOwn has a node register that is known and had no pods until then.
func TestAWitnessThatRunsPodsGetsAPodCIDROfItsOwn(t *testing.T) {
	f := setup(t)
	f.create(t, store.Key{Resource: "nodes", Name: "witness"}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "witness"}})
	for _, name := range []string{"server", "witness", "new", "witness"} {
		if _, err := f.register(proposing(name, "10.42.3.0/24")); err != nil {
			t.Fatal(err)
		}
	}
	owner := map[string]string{}
	for node := range store.List[*corev1.Node](f.store.Snapshot(), "nodes", "") {
		cidr := node.Spec.PodCIDR
		if owner[cidr] != "" || len(node.Spec.PodCIDRs) != 1 || node.Spec.PodCIDRs[0] != cidr {
			t.Errorf("%s has the pod CIDRs %q %v, %q is of %q", node.Name, cidr, node.Spec.PodCIDRs, cidr, owner[cidr])
		}
		owner[cidr] = node.Name
	}
	if owner["10.42.3.0/24"] != "server" || len(owner) != 3 {
		t.Errorf("pod CIDRs: %v", owner)
	}
}
