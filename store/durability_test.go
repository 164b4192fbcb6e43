package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
	"k8s.io/client-go/kubernetes/scheme"

	"covey.dev/covey/store/boltfile"
)

// childDir is set in the process that TestKilledProcessLosesNothing starts.
const childDir = "COVEY_STORE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		err := writeUntilKilled(dir)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// eager makes everything that happens in the background happen all the time.
func eager(c *Config) {
	c.tuning = tuning{snapshotThreshold: 20, segmentSize: 8 << 10, flushQuiet: time.Millisecond, flushLatest: 5 * time.Millisecond}
}

// writeUntilKilled writes the numbers from what it finds upwards to one of a few objects each, and prints each when it
// is acknowledged.
func writeUntilKilled(dir string) error {
	cfg := Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)}
	eager(&cfg)
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	go func() { _ = s.Run(context.Background()) }()
	v, err := s.Linearizable(context.Background())
	if err != nil {
		return err
	}
	for n := newestNumber(v) + 1; ; n++ {
		if n%50 == 0 {
			go func() { _ = s.node.Compact() }() // in the midst of the writes
		}
		k := mapKey("default", fmt.Sprintf("m%d", n%7))
		if _, err := s.Update(context.Background(), func(tx *Tx) error {
			obj := configMap("default", k.Name, strconv.Itoa(n))
			tx.Set(k, obj)
			return nil
		}); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// newestNumber is the greatest number written; all smaller ones of the last round must be there too.
func newestNumber(v *Snapshot) int {
	newest := 0
	for i := range 7 {
		n, _ := strconv.Atoi(value(v, "default", fmt.Sprintf("m%d", i)))
		newest = max(newest, n)
	}
	return newest
}

func TestKilledProcessLosesNothing(t *testing.T) {
	rounds := 15
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	acknowledged := 0
	for round := range rounds {
		acknowledged = max(acknowledged, runAndKill(t, dir, time.Duration(20+rand.IntN(180))*time.Millisecond))
		s, stop := start(t, dir, eager)
		v, err := s.Linearizable(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		newest := newestNumber(v)
		if newest < acknowledged || newest > acknowledged+1 {
			t.Fatalf("round %d: %d was acknowledged, %d is there", round, acknowledged, newest)
		}
		for n := max(1, newest-6); n <= newest; n++ {
			if got := value(v, "default", fmt.Sprintf("m%d", n%7)); got != strconv.Itoa(n) {
				t.Fatalf("round %d: m%d=%s, want %d", round, n%7, got, n)
			}
		}
		acknowledged = newest
		stop()
	}
	if acknowledged == 0 {
		t.Error("nothing was ever written")
	}
}

// runAndKill returns the last number that the child acknowledged.
func runAndKill(t *testing.T, dir string, after time.Duration) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if timer == nil { // from the first write on
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		}
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); timer == nil || stderr.Len() > 0 {
		t.Fatalf("child: %v: %s", err, &stderr)
	}
	return last
}

func TestReopenFindsEverything(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"state file up to date": eager,
		"never flushed nor cut": func(*Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := start(t, dir, change)
			for i := range 100 {
				set(t, s, "default", fmt.Sprintf("m%d", i%30), strconv.Itoa(i))
			}
			remove(t, s, "default", "m3")
			rev := s.Snapshot().Revision()
			stop()
			s, _ = start(t, dir, change)
			if s.Snapshot().Revision() != rev {
				t.Errorf("before leading: revision %d, want %d", s.Snapshot().Revision(), rev)
			}
			v, err := s.Linearizable(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if v.Revision() != rev || v.Count("configmaps", "") != 29 || value(v, "default", "m4") != "94" {
				t.Errorf("revision %d (want %d), %d objects, m4=%s", v.Revision(), rev, v.Count("configmaps", ""), value(v, "default", "m4"))
			}
			if next := set(t, s, "default", "m3", "again"); next <= rev {
				t.Errorf("revision %d after %d", next, rev)
			}
		})
	}
}

// fill writes so much that the log is cut, and closes the store.
func fill(t *testing.T, dir string) (rev uint64) {
	t.Helper()
	s, stop := start(t, dir, eager)
	for i := range 100 {
		set(t, s, "default", fmt.Sprintf("m%d", i%30), strconv.Itoa(i))
	}
	if err := s.node.Compact(); err != nil {
		t.Fatal(err)
	}
	rev = set(t, s, "default", "last", "1")
	stop()
	return rev
}

func TestLostOrDamagedStateFileIsMadeAgain(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"lost":      func(t *testing.T, path string) { check(t, os.Remove(path)) },
		"truncated": func(t *testing.T, path string) { check(t, os.Truncate(path, 9000)) },
		"empty":     func(t *testing.T, path string) { check(t, os.Truncate(path, 0)) },
		"overwritten": func(t *testing.T, path string) {
			overwrite(t, path, 0)
		},
		"overwritten but for its head": func(t *testing.T, path string) {
			overwrite(t, path, 8192)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			rev := fill(t, dir)
			damage(t, filepath.Join(dir, "state.db"))
			for range 2 { // from the snapshot, and then from the file that was made again
				s, stop := start(t, dir, eager)
				v, err := s.Linearizable(testContext(t))
				if err != nil || v.Revision() != rev || v.Count("configmaps", "") != 31 || value(v, "default", "m9") != "99" {
					t.Errorf("%v: revision %d (want %d), %d objects, m9=%s", err, v.Revision(), rev, v.Count("configmaps", ""), value(v, "default", "m9"))
				}
				stop()
			}
		})
	}
}

func TestDamagedLogIsOneErrorThatNamesIt(t *testing.T) {
	segment := func(t *testing.T, dir string) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "*.wal"))
		check(t, err)
		if len(found) != 1 {
			t.Fatalf("segments: %v", found)
		}
		return found[0]
	}
	for name, damage := range map[string]func(t *testing.T, dir string){
		"truncated":           func(t *testing.T, dir string) { check(t, os.Truncate(segment(t, dir), 9000)) },
		"segment lost":        func(t *testing.T, dir string) { check(t, os.Remove(segment(t, dir))) },
		"lost":                func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)) },
		"list of segments":    func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, "wal-meta.db"), 0) },
		"segment overwritten": func(t *testing.T, dir string) { overwrite(t, segment(t, dir), 0) },
		"segment overwritten but for its head": func(t *testing.T, dir string) {
			overwrite(t, segment(t, dir), 8192)
		},
		"bits in the entries": func(t *testing.T, dir string) {
			b, err := os.ReadFile(segment(t, dir))
			check(t, err)
			at := bytes.Index(b, []byte("ConfigMap"))
			if at < 0 {
				t.Fatal("no entry in the segment")
			}
			b[at] ^= 1
			check(t, os.WriteFile(segment(t, dir), b, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := start(t, dir)
			for i := range 100 {
				set(t, s, "default", fmt.Sprintf("m%d", i), "1")
			}
			stop()
			path := filepath.Join(dir, "log")
			damage(t, path)
			_, err := Open(Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), path) || !errors.Is(err, boltfile.ErrDamaged) {
				t.Fatalf("Open: %v, want an error that names %s", err, path)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
		})
	}
}

func TestSnapshotBehindACutLogIsMissed(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir, state string){
		"lost":    func(t *testing.T, dir, _ string) { check(t, os.RemoveAll(filepath.Join(dir, "snapshots"))) },
		"damaged": func(t *testing.T, _, state string) { overwrite(t, state, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir)
			found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			damage(t, dir, found[0])
			check(t, os.Remove(filepath.Join(dir, "state.db")))
			_, err = Open(Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "snapshot") {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

func TestDirectoryIsUsedByOneProcessAndOneNode(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, dir)
	cfg := Config{Dir: dir, NodeID: "n1", Scheme: scheme.Scheme, Logger: slog.New(slog.DiscardHandler)}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "another covey is using "+dir) {
		t.Errorf("Open twice: %v", err)
	}
	stop()
	cfg.NodeID = "n2"
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), `belongs to node "n1"`) {
		t.Errorf("Open as another node: %v", err)
	}
}

// fullDisk is a log that cannot be written while full is set.
type fullDisk struct {
	hraft.LogStore
	full *atomic.Bool
}

func (d fullDisk) StoreLogs(logs []*hraft.Log) error {
	if d.full.Load() {
		return syscall.ENOSPC
	}
	return d.LogStore.StoreLogs(logs)
}

func TestFullDisk(t *testing.T) {
	var full atomic.Bool
	s, _ := start(t, t.TempDir(), func(c *Config) {
		c.tuning.heartbeatTimeout = 50 * time.Millisecond
		c.tuning.wrapLog = func(l hraft.LogStore) hraft.LogStore { return fullDisk{l, &full} }
	})
	rev := set(t, s, "default", "a", "1")
	full.Store(true)
	_, err := s.Update(testContext(t), func(tx *Tx) error {
		tx.Create(mapKey("default", "b"), configMap("default", "b", "1"))
		return nil
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Update: %v", err)
	}
	if snap, err := s.Linearizable(testContext(t)); err != nil || value(snap, "default", "a") != "1" {
		t.Errorf("reads do not go on: %v", err)
	}
	full.Store(false)
	if next := set(t, s, "default", "b", "2"); next <= rev {
		t.Errorf("revision %d after %d", next, rev)
	}
}

// TestReadsGoOnWhileTheDiskFillsUp has clients read all the time, also in the moment in which the leader stops to lead.
func TestReadsGoOnWhileTheDiskFillsUp(t *testing.T) {
	var full, over atomic.Bool
	s, _ := start(t, t.TempDir(), func(c *Config) {
		c.tuning.heartbeatTimeout = 10 * time.Millisecond
		c.tuning.wrapLog = func(l hraft.LogStore) hraft.LogStore { return fullDisk{l, &full} }
	})
	for range 30 {
		set(t, s, "default", "a", "1")
		over.Store(false)
		ctx := testContext(t)
		var readers sync.WaitGroup
		for range 16 {
			readers.Go(func() {
				for !over.Load() {
					if _, err := s.Linearizable(ctx); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		full.Store(true)
		if _, err := s.Update(ctx, increment); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Update: %v", err)
		}
		for s.IsLeader() {
			if !pause(ctx) {
				t.Error("it goes on to lead")
				break
			}
		}
		over.Store(true)
		readers.Wait()
		full.Store(false)
		if t.Failed() {
			return
		}
	}
}

func TestQuietStoreLeavesItsFilesAlone(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, dir, eager)
	set(t, s, "default", "a", "1")
	for deadline := time.Now().Add(30 * time.Second); s.machine.Revision() < s.Snapshot().Revision(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the state file does not follow")
		}
	}
	listing := func() (files []string) {
		check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			check(t, err)
			info, err := d.Info()
			check(t, err)
			files = append(files, fmt.Sprint(path, info.Size(), info.ModTime().UnixNano()))
			return nil
		}))
		return files
	}
	before := listing()
	time.Sleep(500 * time.Millisecond) // many times what eager waits for
	if after := listing(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("files changed:\n%v\n%v", before, after)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overwrite fills a file from an offset on with what makes no sense.
func overwrite(t *testing.T, path string, from int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	check(t, err)
	info, err := f.Stat()
	check(t, err)
	for at := from; at < info.Size(); at += 512 {
		_, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 512), at)
		check(t, err)
	}
	check(t, f.Close())
}

// TestTornLogTail has the power fail while an entry is written: only the beginning of it is on the disk, with or without the rest of the
// file. It was never acknowledged; what was before is there, and the log goes on.
func TestTornLogTail(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, dir)
	for i := range 20 {
		set(t, s, "default", fmt.Sprintf("m%d", i), "1")
	}
	found, err := filepath.Glob(filepath.Join(dir, "log", "*.wal"))
	if check(t, err); len(found) != 1 {
		t.Fatalf("segments: %v", found)
	}
	before, err := os.ReadFile(found[0])
	check(t, err)
	// The state on disk is that of before, too.
	kept := t.TempDir()
	check(t, os.CopyFS(filepath.Join(kept, "store"), os.DirFS(dir)))
	set(t, s, "default", "torn", strings.Repeat("x", 300))
	stop()
	after, err := os.ReadFile(found[0])
	check(t, err)
	from := 0
	for from < len(before) && before[from] == after[from] {
		from++
	}
	to := len(after)
	for to > from && (to > len(before) && after[to-1] == 0 || to <= len(before) && after[to-1] == before[to-1]) {
		to--
	}
	if to-from < 100 {
		t.Fatalf("the entry is from %d to %d", from, to)
	}
	for cut := from + 1; cut < to; cut += (to - from) / 12 {
		for name, tail := range map[string][]byte{"zeros": make([]byte, len(after)-cut), "no file": nil} {
			t.Run(fmt.Sprintf("%d bytes and then %s", cut-from, name), func(t *testing.T) {
				again := filepath.Join(t.TempDir(), "store")
				check(t, os.CopyFS(again, os.DirFS(filepath.Join(kept, "store"))))
				file := filepath.Join(again, "log", filepath.Base(found[0]))
				check(t, os.WriteFile(file, append(bytes.Clone(after[:cut]), tail...), 0o600))
				s, stop := start(t, again)
				defer stop()
				v, err := s.Linearizable(testContext(t))
				if err != nil || v.Count("configmaps", "") < 20 || value(v, "default", "m19") != "1" {
					t.Errorf("%v: %d objects, m19=%s", err, v.Count("configmaps", ""), value(v, "default", "m19"))
				}
				set(t, s, "default", "next", "1")
			})
		}
	}
}
