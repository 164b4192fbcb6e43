package store

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"

	"covey.dev/covey/store/protocol"
)

func TestEntryRoundTripAndDamage(t *testing.T) {
	effects := []effect{
		{op: opCreate, key: Key{"pods", "default", "a"}, raw: []byte("raw a")},
		{op: opPut, key: Key{"nodes", "", "n"}, expect: 1 << 40, raw: bytes.Repeat([]byte("x"), 3000)},
		{op: opDelete, key: Key{"deployments.apps", "ns", "d"}, expect: 9},
	}
	for _, version := range []int{entryFormat1, entryFormat2} {
		entry := encodeEntry(effects, version)
		got, err := decodeEntry(entry, protocol.Spoken())
		if err != nil || !reflect.DeepEqual(got, effects) {
			t.Fatalf("%v: %+v", err, got)
		}
		for i := range entry {
			damaged := bytes.Clone(entry)
			damaged[i] ^= 0x10
			if _, err := decodeEntry(damaged, protocol.Spoken()); err == nil {
				t.Fatalf("byte %d may change without notice", i)
			}
			if _, err := decodeEntry(entry[:i], protocol.Spoken()); err == nil {
				t.Fatalf("%d of %d bytes are taken for an entry", i, len(entry))
			}
		}
	}
}

// TestEntriesHaveTheAgreedVersionsFormat also says what the second format is good for: fifty pods of a Deployment, deleted at once.
func TestEntriesHaveTheAgreedVersionsFormat(t *testing.T) {
	var effects []effect
	for i := range 50 {
		effects = append(effects, effect{op: opDelete, key: Key{"pods", "default", fmt.Sprintf("web-5d4f8c7b9-%05d", i)}, expect: 4711})
	}
	old, now := encodeEntry(effects, 1), encodeEntry(effects, 2)
	if old[0] != entryFormat1 || now[0] != entryFormat2 || len(now) > len(old)/3 {
		t.Errorf("format %d has %d bytes, format %d has %d", old[0], len(old), now[0], len(now))
	}
	if one, two := encodeEntry(effects[:1], 1), encodeEntry(effects[:1], 2); len(one) != len(two) {
		t.Errorf("an entry with one effect has %d bytes, and %d in the second format", len(one), len(two))
	}
	if later := encodeEntry(effects, 7); !bytes.Equal(later, now) {
		t.Error("a version that brought no other format has one")
	}
	var mismatch *protocol.Mismatch
	if _, err := decodeEntry(now, protocol.First); !errors.As(err, &mismatch) || *mismatch != (protocol.Mismatch{Spoken: protocol.First, Version: 2}) {
		t.Errorf("a covey of before says %v", err)
	}
	if _, err := decodeEntry(old, protocol.First); err != nil {
		t.Error(err)
	}
}

// FuzzDecodeEntry feeds bytes with a right checksum, so that the fuzzer gets past it.
func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte{entryFormat2, 2, byte(opDelete), 5, 'p', 0, 'n', 0, 'a', 3, 0, byte(opDelete), 4, 1, 'b', 3, 0})
	f.Add([]byte{entryFormat1, 1, byte(opDelete), 5, 'p', 0, 'n', 0, 'a', 3, 0})
	f.Add([]byte{entryFormat2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		effects, err := decodeEntry(appendChecksum(bytes.Clone(b)), protocol.Spoken())
		if err != nil {
			return
		}
		for _, version := range []int{entryFormat1, entryFormat2} {
			again, err := decodeEntry(encodeEntry(effects, version), protocol.Spoken())
			if err != nil || len(again) != len(effects) {
				t.Errorf("%v: %+v became %+v", err, effects, again)
			}
		}
	})
}

func TestStreamRoundTripAndDamage(t *testing.T) {
	c := newCodec(scheme.Scheme)
	table := newTable(c, 0)
	tx := table.begin()
	for _, name := range []string{"a", "b", "c"} {
		raw, err := c.encode(configMap("default", name, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.apply(tx.revision+5, []effect{{op: opCreate, key: mapKey("default", name), raw: raw}}); err != nil {
			t.Fatal(err)
		}
	}
	tx.commit()
	var stream bytes.Buffer
	if err := table.current.Load().writeStream(&stream); err != nil {
		t.Fatal(err)
	}
	v, err := readStream(bytes.NewReader(stream.Bytes()), c)
	if err != nil || v.Revision() != 15 || v.Count("configmaps", "default") != 3 || value(v, "default", "b") != "b" {
		t.Fatalf("%v: %+v", err, v)
	}
	if r, _ := v.Get(mapKey("default", "b")); r.Revision() != 10 {
		t.Errorf("b is at %d, want 10", r.Revision())
	}
	for i := range stream.Len() {
		damaged := bytes.Clone(stream.Bytes())
		damaged[i] ^= 0x10
		if _, err := readStream(bytes.NewReader(damaged), c); err == nil {
			t.Fatalf("byte %d may change without notice", i)
		}
		if _, err := readStream(bytes.NewReader(stream.Bytes()[:i]), c); err == nil {
			t.Fatalf("%d of %d bytes are taken for a snapshot", i, stream.Len())
		}
	}
}
