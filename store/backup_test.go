package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"
)

func backup(t *testing.T, s *Store) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := s.Snapshot().WriteBackup(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRestoreBringsTheStateBackAndRevisionsRise(t *testing.T) {
	s, _ := start(t, t.TempDir())
	set(t, s, "default", "same", "1")
	set(t, s, "default", "changed", "old")
	set(t, s, "default", "deleted", "1")
	set(t, s, "default", "kept", "old")
	saved := backup(t, s)
	set(t, s, "default", "changed", "new")
	set(t, s, "default", "kept", "new")
	remove(t, s, "default", "deleted")
	before := set(t, s, "default", "added", "1")
	same, _ := s.Snapshot().Get(mapKey("default", "same"))
	watch, err := s.Watch(before)
	if err != nil {
		t.Fatal(err)
	}

	old, err := ReadBackup(bytes.NewReader(saved), scheme.Scheme)
	if err != nil {
		t.Fatal(err)
	}
	done, err := s.Restore(testContext(t), old, func(k Key) bool { return k.Name == "kept" }, []string{"configmaps", ""})
	if err != nil || done != (Restored{Created: 1, Replaced: 1, Deleted: 1}) {
		t.Errorf("%+v (%v)", done, err)
	}
	for name, want := range map[string]string{"same": "1", "changed": "old", "deleted": "1", "added": "(none)", "kept": "new"} {
		if got := value(s.Snapshot(), "default", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if now, _ := s.Snapshot().Get(mapKey("default", "same")); now != same {
		t.Error("an object that was as it is was written again")
	}
	if s.Snapshot().Revision() <= before {
		t.Errorf("revision %d after %d", s.Snapshot().Revision(), before)
	}
	if got := next(t, watch); len(got) != 3 {
		t.Errorf("a watcher saw %v", got)
	}
	if done, err = s.Restore(testContext(t), old, func(k Key) bool { return k.Name == "kept" }, nil); err != nil || done != (Restored{}) {
		t.Errorf("again: %+v (%v)", done, err)
	}
}

func TestRestoreOfMuch(t *testing.T) {
	s, _ := start(t, t.TempDir())
	const many = 2*restoreObjects + 10
	for i := range many {
		set(t, s, "default", strings.Repeat("x", 1+i%7)+string(rune('a'+i%26))+strings.Repeat("y", i/26), "1")
	}
	want := s.Snapshot().tree.Len()
	saved := backup(t, s)
	empty, _ := start(t, t.TempDir())
	old, err := ReadBackup(bytes.NewReader(saved), scheme.Scheme)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Restore(testContext(t), old, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := empty.Snapshot().tree.Len(); got != want {
		t.Errorf("%d objects, want %d", got, want)
	}
}

func TestDamagedBackupIsRefused(t *testing.T) {
	s, _ := start(t, t.TempDir())
	set(t, s, "default", "a", "1")
	good := backup(t, s)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-12] ^= 1
	for name, data := range map[string][]byte{
		"empty": nil, "something else": []byte("hello, this is no backup at all"), "cut off": good[:len(good)-5], "one bit": flipped,
		"another version": bytes.Replace(good, []byte("backup 1"), []byte("backup 9"), 1),
	} {
		if _, err := ReadBackup(bytes.NewReader(data), scheme.Scheme); !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRevisionsOfANewClusterMayBeginHigh(t *testing.T) {
	dir := t.TempDir()
	const after = 1_000_000
	s, stop := start(t, dir, func(c *Config) { c.After = after })
	if rev := set(t, s, "default", "a", "1"); rev <= after {
		t.Errorf("revision %d", rev)
	}
	stop()
	s, _ = start(t, dir)
	if _, err := s.Linearizable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := value(s.Snapshot(), "default", "a"); got != "1" {
		t.Errorf("after a restart a is %q", got)
	}
	if rev := set(t, s, "default", "a", "2"); rev <= after+1 {
		t.Errorf("revision %d after a restart", rev)
	}
}
