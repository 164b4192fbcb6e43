package store

import (
	"bytes"
	"reflect"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"
)

func TestEntryRoundTripAndDamage(t *testing.T) {
	effects := []effect{
		{op: opCreate, key: Key{"pods", "default", "a"}, raw: []byte("raw a")},
		{op: opPut, key: Key{"nodes", "", "n"}, expect: 1 << 40, raw: bytes.Repeat([]byte("x"), 3000)},
		{op: opDelete, key: Key{"deployments.apps", "ns", "d"}, expect: 9},
	}
	entry := encodeEntry(effects)
	got, err := decodeEntry(entry)
	if err != nil || !reflect.DeepEqual(got, effects) {
		t.Fatalf("%v: %+v", err, got)
	}
	for i := range entry {
		damaged := bytes.Clone(entry)
		damaged[i] ^= 0x10
		if _, err := decodeEntry(damaged); err == nil {
			t.Fatalf("byte %d may change without notice", i)
		}
		if _, err := decodeEntry(entry[:i]); err == nil {
			t.Fatalf("%d of %d bytes are taken for an entry", i, len(entry))
		}
	}
}

// FuzzDecodeEntry feeds bytes with a right checksum, so that the fuzzer gets past it.
func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte{entryFormat, 1, byte(opDelete), 5, 'p', 0, 'n', 0, 'a', 3, 0})
	f.Add([]byte{entryFormat, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		effects, err := decodeEntry(appendChecksum(bytes.Clone(b)))
		if err != nil {
			return
		}
		again, err := decodeEntry(encodeEntry(effects))
		if err != nil || len(again) != len(effects) {
			t.Errorf("%v: %+v became %+v", err, effects, again)
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
