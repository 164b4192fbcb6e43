package port

import (
	"container/list"
	"net"
	"sync"
)

// mostStrangers is how many connections may be open at once that showed no certificate, or have not yet.
const mostStrangers = 512

// crowd bounds the connections of strangers. When one more comes the oldest is closed: whoever means well is through the handshake
// in milliseconds, and those who only hold connections open hold each other's place.
type crowd struct {
	most int

	mu   sync.Mutex
	here list.List // of net.Conn, the oldest first
}

// stranger is a connection in the crowd.
type stranger struct {
	net.Conn
	crowd *crowd
	place *list.Element
}

func (c *crowd) add(conn net.Conn) *stranger {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.here.Len() >= c.most {
		_ = c.here.Remove(c.here.Front()).(net.Conn).Close()
	}
	return &stranger{conn, c, c.here.PushBack(conn)}
}

// known takes the connection out of the crowd: it may stay as long as it likes.
func (s *stranger) known() {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	s.crowd.here.Remove(s.place)
}

// NetConn is the connection below.
func (s *stranger) NetConn() net.Conn { return s.Conn }

// Close implements net.Conn.
func (s *stranger) Close() error {
	s.known()
	return s.Conn.Close()
}
