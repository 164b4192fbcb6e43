package gossip

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"covey.dev/covey/node/identity"
)

// keysOf are the keys of id's cluster, or of a later generation with others.
func keysOf(id *identity.Identity, generation uint64, keys ...[]byte) Keys {
	if len(keys) == 0 {
		keys = [][]byte{id.Keys().Gossip[0].Key}
	}
	return Keys{Generation: generation, Keys: keys}
}

// TestKeysAreReplaced takes a and b through the steps of a rotation, while c was off. It has to be given the new key before it can join
// again.
func TestKeysAreReplaced(t *testing.T) {
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	b := run(t, a.id, "b", filepath.Join(t.TempDir(), "peers"), a.address())
	c := run(t, a.id, "c", filepath.Join(t.TempDir(), "peers"), a.address())
	c.sees(t, "a", "b", "c")
	c.stop()
	a.sees(t, "a", "b")
	old, fresh := a.id.Keys().Gossip[0].Key, make([]byte, 32)
	for i, keys := range [][][]byte{{old, fresh}, {fresh, old}, {fresh}} {
		for _, m := range []running{a, b} {
			if err := m.SetKeys(keysOf(m.id, uint64(i+2), keys...)); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range []running{a, b} {
			m.eventually(t, "all have the keys", func() bool {
				for _, other := range m.Members() {
					if other.Keys != uint64(i+2) {
						return false
					}
				}
				return true
			})
			m.sees(t, "a", "b")
		}
	}
	back := run(t, a.id, "c", filepath.Join(t.TempDir(), "peers"))
	var refused atomic.Int32
	if back.meet(context.Background(), []string{a.address()}) {
		t.Error("a node with the old key joined")
	}
	back.cfg.Refused = func(context.Context, []string) {
		refused.Add(1)
		if err := back.SetKeys(keysOf(back.id, 4, fresh)); err != nil {
			t.Error(err)
		}
	}
	if back.meet(context.Background(), []string{a.address()}) || refused.Load() != 1 {
		t.Errorf("refused %d times, want once", refused.Load())
	}
	for deadline := time.Now().Add(time.Minute); !back.meet(context.Background(), []string{a.address()}); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a node with the new key does not join")
		}
	}
	for _, m := range []running{a, b, back} {
		m.sees(t, "a", "b", "c")
	}
}

// TestPartsOfAClusterMeetAgain has a forget b, as it does when b is cut off for long.
func TestPartsOfAClusterMeetAgain(t *testing.T) {
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	const address = "127.0.2.1:17443" // no other test's, and no port that the kernel gives a connection meanwhile
	b := runAt(t, a.id, address, nil, "b", filepath.Join(t.TempDir(), "peers"), a.address())
	a.sees(t, "a", "b")
	b.stop()
	a.sees(t, "a")
	if lost := a.missing(); len(lost) != 1 || lost[0].Address() != address {
		t.Fatalf("lost are %v", lost)
	}
	// It is back where it was, and looks for nobody.
	again := runAt(t, a.id, address, nil, "b", filepath.Join(t.TempDir(), "peers"))
	a.sees(t, "a", "b")
	again.sees(t, "a", "b")
}
