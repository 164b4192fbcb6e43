package harness

import (
	"bytes"
	"encoding/binary"
	"sync"
)

// mostRecorded bounds what a Recording keeps.
const mostRecorded = 1 << 15

// Recording is the datagrams that passed a switch, in their order.
type Recording struct {
	mu     sync.Mutex
	frames [][]byte
}

// Record keeps a copy of each datagram (UDP over IPv4) that is sent from now on, until StopRecording.
func (s *Switch) Record() *Recording {
	r := &Recording{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recording = r
	return r
}

// StopRecording ends it.
func (s *Switch) StopRecording() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recording = nil
}

// Replay sends again what was recorded, as if it came from where it came from, and returns how many datagrams that were.
func (s *Switch) Replay(r *Recording) int {
	r.mu.Lock()
	frames := r.frames
	r.mu.Unlock()
	for _, frame := range frames {
		s.mu.RLock()
		from := s.learned[[6]byte(frame[6:12])]
		s.mu.RUnlock()
		if from != 0 {
			s.pass(from, frame)
		}
	}
	return len(frames)
}

func (r *Recording) add(frame []byte) {
	const ipv4, protocol, udp = 0x0800, headerBytes + 9, 17
	if len(frame) <= protocol || binary.BigEndian.Uint16(frame[12:14]) != ipv4 || frame[protocol] != udp {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.frames) < mostRecorded {
		r.frames = append(r.frames, bytes.Clone(frame))
	}
}
