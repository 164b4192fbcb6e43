package store

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestASilentLeaderIsReplacedWhenATimeoutHasPassed cuts the leader off at different moments; the time that passes is not the
// machine's.
func TestASilentLeaderIsReplacedWhenATimeoutHasPassed(t *testing.T) {
	// What is made once for all stores must be so outside of the bubble, or others could not use it.
	if _, err := decompress(compress(make([]byte, 4096)), new([]byte)); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		const heartbeat = 2500 * time.Millisecond
		c, stores, _ := newCluster(t, 3, func(cfg *Config) { cfg.tuning.heartbeatTimeout = heartbeat })
		for i := range 10 {
			leader := leaderOf(t, stores)
			set(t, stores[leader], "default", "a", fmt.Sprint("before", i))
			time.Sleep(time.Duration(i) * 300 * time.Millisecond)
			// One of the others lacks an entry, so only the third can be elected.
			behind := stores[(leader+1+i/2%2)%3].id
			c.wires.fail(0, 0, [2]string{stores[leader].id, behind})
			set(t, stores[leader], "default", "a", fmt.Sprint("acknowledged", i))
			began := time.Now()
			c.isolate(stores[leader].id)
			set(t, stores[(leader+1)%3], "default", "a", fmt.Sprint("after", i))
			took := time.Since(began)
			t.Logf("%s leads, %s is behind: %v", stores[leader].id, behind, took)
			if most := heartbeat + time.Second; took > most {
				t.Errorf("the next write is accepted after %v, want at most %v", took, most)
			}
			c.wires.fail(0, 0)
			if _, err := stores[leader].Linearizable(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
