package memory

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		room, live uint64
		want       int
	}{{32 << 20, 8 << 20, 400}, {32 << 20, 64 << 20, 100}, {32 << 20, 0, 3200}, {0, 8 << 20, 100}} {
		if got := percentFor(c.room, c.live); got != c.want {
			t.Errorf("%d of room, %d live: %d %%, want %d", c.room, c.live, got, c.want)
		}
	}
}

// TestKeepRoom shows that the room stays as it is told while more and less of the heap is in use.
func TestKeepRoom(t *testing.T) {
	before := debug.SetGCPercent(usualPercent)
	defer debug.SetGCPercent(before)
	k := &keeper{room: 64 << 20, percent: usualPercent}
	k.adjust()
	small := k.percent
	held := make([]byte, 64<<20)
	runtime.GC()
	k.adjust()
	if k.percent >= small || k.percent < usualPercent {
		t.Errorf("%d %% with 64 MiB in use, %d %% with nearly nothing", k.percent, small)
	}
	runtime.KeepAlive(held)
}
