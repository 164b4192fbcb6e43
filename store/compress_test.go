package store

import (
	"bytes"
	"hash/crc32"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"
)

func TestCompressRoundTrip(t *testing.T) {
	for _, raw := range []string{"", "k8s", strings.Repeat("k8s\x00 text ", 1000), "{" + strings.Repeat("x", longest/1000) + "}"} {
		stored := compress([]byte(raw))
		got, err := decompress(stored, new([]byte))
		if err != nil || string(got) != raw || len(stored) > len(raw) {
			t.Errorf("%d bytes became %d, and again %d: %v", len(raw), len(stored), len(got), err)
		}
		if size := decompressedSize(stored); size != len(raw) {
			t.Errorf("%d bytes are said to be %d", len(raw), size)
		}
	}
}

func TestObjectsOfOldVersionsAreRead(t *testing.T) {
	c := newCodec(scheme.Scheme)
	stored, err := c.encode(configMap("default", "a", strings.Repeat("long text ", 20)))
	if err != nil || stored[0] != compressedV1 {
		t.Fatalf("%v: %q", err, stored)
	}
	raw, err := decompress(stored, new([]byte))
	if err != nil || !bytes.HasPrefix(raw, []byte("k8s")) {
		t.Fatalf("%v: %q", err, raw)
	}
	obj, err := c.decode(raw) // as it was stored before there was compression
	if err != nil || obj.GetName() != "a" {
		t.Errorf("%v: %v", err, obj)
	}
	for i := range stored[1:] {
		_, _ = c.decode(stored[:i]) // what is cut short is an error or another object, and no panic
	}
}

// TestDictionaryNeverChanges fails when what was written with the dictionary could not be read any more.
func TestDictionaryNeverChanges(t *testing.T) {
	const want uint32 = 3072609394
	if got := crc32.ChecksumIEEE(dictionaryV1); got != want {
		t.Errorf("dictionary/version1.bin has the checksum %d, want %d: make a version2.bin beside it", got, want)
	}
}
