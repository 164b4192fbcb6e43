package store

import (
	"context"

	"covey.dev/covey/store/protocol"
)

// ProtocolTable holds the protocol version that the cluster has agreed on, once that is above the first. What it holds is no object,
// but one byte, so that every version of covey can read it.
const ProtocolTable = "protocol.covey.dev"

var agreedKey = Key{Resource: ProtocolTable, Name: "agreed"}

// Agreed is the protocol version that the cluster has agreed on: every node speaks it.
func (v *Snapshot) Agreed() int {
	if rec, ok := v.Get(agreedKey); ok {
		return agreedIn(rec.raw)
	}
	return protocol.First.Newest
}

func agreedIn(raw []byte) int {
	if len(raw) == 0 {
		return protocol.First.Newest
	}
	return int(raw[0])
}

// Agree records that the cluster has agreed on a protocol version, which every node must speak: one that does not stops at the entry. What
// is written from then on is in that version's format. A lower one than before changes nothing.
func (s *Store) Agree(ctx context.Context, version int) error {
	if err := s.codec.spoken.Check(version); err != nil {
		return err
	}
	_, err := s.Update(ctx, func(tx *Tx) error {
		rec, there := tx.Get(agreedKey)
		switch {
		case version <= tx.Snapshot().Agreed():
		case there:
			tx.add(effect{op: opPut, key: agreedKey, expect: rec.revision, raw: []byte{byte(version)}})
		default:
			tx.add(effect{op: opCreate, key: agreedKey, raw: []byte{byte(version)}})
		}
		return nil
	})
	return err
}

// version is that in which a write on this state is encoded.
func (c *codec) version(read *Snapshot) int { return max(read.Agreed(), c.spoken.Oldest) }

// readable returns an error for a format that this covey cannot read, whose own newest one is known: a *protocol.Mismatch when a
// newer covey can.
func readable(format byte, known int, spoken protocol.Range) error {
	switch {
	case int(format) > spoken.Newest:
		return spoken.Check(int(format))
	case format == 0, int(format) > known:
		return errFormat
	}
	return nil
}

// checkAgreed returns a *protocol.Mismatch for a state that this covey does not speak the language of.
func (c *codec) checkAgreed(v *Snapshot) error {
	if _, recorded := v.Get(agreedKey); !recorded {
		return nil
	}
	return c.spoken.Check(v.Agreed())
}

// checkEffects returns a *protocol.Mismatch when one of the effects is that the cluster agrees on what this covey does not speak.
func (c *codec) checkEffects(effects []effect) error {
	for i := range effects {
		if e := &effects[i]; e.key == agreedKey && e.op != opDelete && agreedIn(e.raw) > c.spoken.Newest {
			return c.spoken.Check(agreedIn(e.raw))
		}
	}
	return nil
}
