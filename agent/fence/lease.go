package fence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Time is how long after its node last knew that it may run a pod is ended. The scheduler waits for longer before it gives the pod's
// place away.
const Time = 20 * time.Second

// lease is what the two processes share: until when the guarded pods may run.
type lease struct {
	Until time.Duration     `json:"until"` // since the machine was started
	Pods  map[string]string `json:"pods"`  // cgroups by UID
}

// ended says whether the pods' time has passed.
func (l *lease) ended(now time.Duration) bool { return now >= l.Until }

// uptime is the time since the machine was started, suspended or not.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err)) // there since Linux 2.6.39
	}
	return time.Duration(ts.Nano())
}

func leaseFile(dir string) string { return filepath.Join(dir, "lease.json") }

// readLease gives an empty lease where there is none.
func readLease(dir string) (*lease, error) {
	l := &lease{}
	data, err := os.ReadFile(leaseFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(data, l)
	}
	if err != nil {
		return nil, fmt.Errorf("read the lease of the pods that may run at most once: %w", err)
	}
	return l, nil
}

// write replaces the file. It need not survive a power cut: the processes do not either.
func (l *lease) write(dir string) error {
	if len(l.Pods) == 0 {
		if err := os.Remove(leaseFile(dir)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := os.WriteFile(leaseFile(dir)+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(leaseFile(dir)+".new", leaseFile(dir))
}

func (l *lease) cgroups() []string { return slices.Sorted(maps.Values(l.Pods)) }
