package containerd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"covey.dev/covey/agent"
)

// damages are what becomes of a database file.
var damages = map[string]func(file string) error{
	"overwritten": func(file string) error { return os.WriteFile(file, bytes.Repeat([]byte("rubbish "), 8<<10), 0o600) },
	"cut short":   func(file string) error { return os.Truncate(file, 3*4096) },
	"empty":       func(file string) error { return os.Truncate(file, 0) },
	"gone":        os.Remove,
	"a page overwritten": func(file string) error {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		for page := int64(2); err == nil && page < info.Size()/4096; page++ {
			_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, 4096), page*4096)
		}
		return errors.Join(err, f.Close())
	},
}

// TestDamagedDatabase opens a runtime whose database was damaged while a container ran: the container is gone with all that it had, its
// image is there, and it can be made again.
func TestDamagedDatabase(t *testing.T) {
	needRoot(t)
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.runKilled(t)
			if err := damage(databaseFile(m.config(t).Root)); err != nil {
				t.Fatal(err)
			}
			m.startsAgain(t)
			if _, err := os.Stat(filepath.Join(m.dir, "root", "meta.db.damaged")); (err != nil) != (name == "gone") {
				t.Errorf("the damaged file set aside: %v", err)
			}
		})
	}
}

// TestDamagedSnapshotter has the snapshotter's database damaged instead.
func TestDamagedSnapshotter(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	m.runKilled(t)
	found, err := filepath.Glob(filepath.Join(m.dir, "root", "io.containerd.snapshotter.v1.*", "metadata.db"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the snapshotters' databases: %v %v", found, err)
	}
	if err := damages["overwritten"](found[0]); err != nil {
		t.Fatal(err)
	}
	m.startsAgain(t)
}

// TestDamagedPart has a part of the image damaged, too: the image is not there, and can be loaded again.
func TestDamagedPart(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	m.runKilled(t)
	parts, err := filepath.Glob(filepath.Join(m.dir, "root", contentFolder, "blobs", "sha256", "*"))
	if err != nil || len(parts) < 3 {
		t.Fatalf("the parts: %v %v", parts, err)
	}
	for _, part := range parts {
		if err := errors.Join(os.Chmod(part, 0o600), os.WriteFile(part, []byte("rubbish"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := damages["overwritten"](databaseFile(m.config(t).Root)); err != nil {
		t.Fatal(err)
	}
	r := m.open(t)
	if _, err := r.Image(t.Context(), testImage); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("the image: %v, want that it is not there", err)
	}
	m.close(t)
	m.openLoaded(t)
}

// TestRebuildIsKilled ends covey at points of the repair; the next start finishes it.
func TestRebuildIsKilled(t *testing.T) {
	needRoot(t)
	for name, end := range map[string]func(t *testing.T, cfg Config){
		"before the database is set aside": func(t *testing.T, cfg Config) {
			inTheWay := filepath.Join(cfg.Root, "meta.db.damaged")
			if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := repairDatabases(t.Context(), cfg); err == nil {
				t.Fatal("no error")
			}
			if err := os.RemoveAll(inTheWay); err != nil {
				t.Fatal(err)
			}
		},
		"before the images are brought back": func(t *testing.T, cfg Config) {
			if err := repairDatabases(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		},
		"with a new database": func(t *testing.T, cfg Config) {
			e, err := startContainerd(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			e.stop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.runKilled(t)
			if err := damages["overwritten"](databaseFile(m.config(t).Root)); err != nil {
				t.Fatal(err)
			}
			end(t, m.config(t))
			m.startsAgain(t)
		})
	}
}

// startsAgain opens the runtime: nothing runs, the image is there, and a container runs from it, of the same ID as one before. It
// lasts over one more start.
func (m *testMachine) startsAgain(t *testing.T) {
	t.Helper()
	r := m.open(t)
	if list, err := r.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("containers %v %v, want none", list, err)
	}
	if left := m.left(t); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if image, err := r.Image(t.Context(), testImage); err != nil || !image.Loaded {
		t.Fatalf("the image: %+v %v", image, err)
	}
	if err := errors.Join(r.Create(t.Context(), m.spec("tick", "tick")), r.Start(t.Context(), "tick")); err != nil {
		t.Fatal(err)
	}
	if err := r.Prune(t.Context()); err != nil {
		t.Error(err)
	}
	r = m.reopen(t)
	if _, err := os.Stat(rebuildMark(m.config(t).Root)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark of the repair: %v", err)
	}
	if c := find(t, r, "tick"); c.State != agent.StateRunning {
		t.Errorf("the new one: %+v", c)
	}
	if _, err := r.Image(t.Context(), testImage); err != nil {
		t.Error(err)
	}
	remove(t, r, "tick")
}
