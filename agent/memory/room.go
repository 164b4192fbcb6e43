package memory

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"golang.org/x/sys/unix"
)

// usualPercent is how much the heap grows between two collections by default.
const usualPercent = 100

// The room that a heap has before it is collected: so many bytes, or a share of a small machine's memory.
const (
	mostRoom  = 32 << 20
	roomShare = 64
)

// KeepRoom has the garbage collector let the heap grow by some megabytes before it collects, even where less than that is in use:
// under load it would collect a small heap all the time. What is not needed any more is given back by Release. An environment that
// sets GOGC is left alone.
func KeepRoom() {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return
	}
	k := &keeper{room: uint64(min(mostRoom, int64(info.Totalram)*int64(info.Unit)/roomShare)), percent: usualPercent}
	k.adjust()
	k.follow()
}

type keeper struct {
	room    uint64
	percent int
}

// collected is something for the collector to find that nobody needs.
type collected struct{ _ *collected }

// follow adjusts after every collection.
func (k *keeper) follow() {
	runtime.AddCleanup(&collected{}, func(k *keeper) {
		k.adjust()
		k.follow()
	}, k)
}

func (k *keeper) adjust() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := percentFor(k.room, live[0].Value.Uint64())
	if off := math.Abs(float64(percent-k.percent)) / float64(k.percent); off > 0.1 {
		debug.SetGCPercent(percent) // stops the world for a moment
		k.percent = percent
	}
}

// percentFor is the percentage of live bytes by which the heap is to grow.
func percentFor(room, live uint64) int {
	const leastLive = 1 << 20
	return max(usualPercent, int(room*100/max(live, leastLive)))
}
