package store

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// dictionaryV1 is what objects have in common: the encoded bytes of some typical ones. What is stored was made with it, so it
// must never change; a better one would be another version. package dictionary made it.
//
//go:embed dictionary/version1.bin
var dictionaryV1 []byte

const (
	// compressedV1 begins the bytes of an object that zstd made with dictionaryV1. The bytes of others begin with "k8s" or "{".
	compressedV1 = 1
	dictionaryID = 1
	// smallest is the size from which on bytes are compressed, and longest what an object may have when it is not.
	smallest = 64
	longest  = maxStreamed
)

// encoder and decoder are made when they are first needed, which a command line that has no store never does; many goroutines may use them.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderDictRaw(dictionaryID, dictionaryV1),
			zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false), zstd.WithWindowSize(64<<10), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(dictionaryID, dictionaryV1), zstd.WithDecoderConcurrency(2),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(longest))
		if err != nil {
			panic(err) // the options are constants
		}
		return d
	})
)

// compress returns raw as it is stored. Between two thirds and nine tenths of an object are what others of its kind have too.
func compress(raw []byte) []byte {
	if len(raw) < smallest {
		return raw
	}
	packed := encoder().EncodeAll(raw, append(make([]byte, 0, len(raw)/2), compressedV1))
	if len(packed) >= len(raw) {
		return raw
	}
	return packed
}

// decompress is the inverse of compress. What it returns is stored itself, or lies in scratch, which it makes as large as it has to be.
func decompress(stored []byte, scratch *[]byte) ([]byte, error) {
	if len(stored) == 0 || stored[0] != compressedV1 {
		return stored, nil
	}
	raw, err := decoder().DecodeAll(stored[1:], (*scratch)[:0])
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	*scratch = raw
	return raw, nil
}

// decompressedSize is how long decompress's result is, without making it.
func decompressedSize(stored []byte) int {
	if len(stored) == 0 || stored[0] != compressedV1 {
		return len(stored)
	}
	var header zstd.Header
	if err := header.Decode(stored[1:]); err != nil || !header.HasFCS || header.FrameContentSize > longest {
		return len(stored)
	}
	return int(header.FrameContentSize)
}
