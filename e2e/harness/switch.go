package harness

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Switch is an Ethernet switch in the test's own process: what is sent on one port comes out of the others, unless the test has cut
// the way between them, or has it lose or delay frames. Ports are numbered from 1 in the order in which they were plugged in, so
// that port i of a Cluster is node-i's. Faults may be set while frames are under way, from any goroutine.
type Switch struct {
	mu      sync.RWMutex
	ports   []*port
	learned map[[6]byte]int // the port behind which an address was seen
	cut     map[way]bool
	loss    float64
	delay   time.Duration

	recording *Recording // nil when nothing is recorded

	running sync.WaitGroup
}

// way is one direction between two ports.
type way struct{ from, to int }

// port is one end: a TAP device that a node has as its interface, or the socket of a virtual machine.
type port struct {
	end io.ReadWriteCloser // of whole frames
	// late are frames that are delayed, in the order in which they are due.
	late chan frame
	gone chan struct{}
}

type frame struct {
	data []byte
	due  time.Time
}

const (
	// frameBytes is more than any MTU that a test sets.
	frameBytes = 1 << 16
	// lateFrames is how many frames a slow way holds; like a router it drops what is too much.
	lateFrames = 1 << 14
	// headerBytes are destination, source and type.
	headerBytes = 14
)

// NewSwitch makes a switch that is there until the test ends.
func NewSwitch(t T) *Switch {
	s := &Switch{learned: map[[6]byte]int{}, cut: map[way]bool{}}
	t.Cleanup(s.close)
	return s
}

// Plug gives the network an interface of that name, which is on the switch's next port. It has no address and is down.
func (s *Switch) Plug(n *network, name string) error {
	tap, err := newTap(n, name)
	if err != nil {
		return err
	}
	s.plug(tap)
	return nil
}

// PlugMachine connects a virtual machine, which sends each frame as a datagram to the Unix socket at own and receives at machine.
func (s *Switch) PlugMachine(own, machine string) error {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"})
	if err != nil {
		return err
	}
	s.plug(datagrams{conn, &net.UnixAddr{Name: machine, Net: "unixgram"}})
	return nil
}

// datagrams are the frames of a virtual machine. While it is off or does not listen, those for it are lost.
type datagrams struct {
	*net.UnixConn
	to *net.UnixAddr
}

func (d datagrams) Write(frame []byte) (int, error) {
	const patience = 5 * time.Millisecond // others' frames wait too
	if err := d.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return d.WriteToUnix(frame, d.to)
}

func (s *Switch) plug(end io.ReadWriteCloser) {
	p := &port{end: end, late: make(chan frame, lateFrames), gone: make(chan struct{})}
	s.mu.Lock()
	s.ports = append(s.ports, p)
	i := len(s.ports)
	s.mu.Unlock()
	s.running.Go(func() { s.read(p, i) })
	s.running.Go(p.deliver)
}

func (s *Switch) close() {
	s.mu.Lock()
	for _, p := range s.ports {
		_ = p.end.Close()
		close(p.gone)
	}
	s.mu.Unlock()
	s.running.Wait()
}

// Cut lets nothing pass between ports i and j.
func (s *Switch) Cut(i, j int) {
	s.CutOneWay(i, j)
	s.CutOneWay(j, i)
}

// CutOneWay lets nothing pass from one port to the other; what comes the other way passes.
func (s *Switch) CutOneWay(from, to int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[way{from, to}] = true
}

// Isolate cuts port i off from all others.
func (s *Switch) Isolate(i int) {
	s.mu.RLock()
	ports := len(s.ports)
	s.mu.RUnlock()
	for j := 1; j <= ports; j++ {
		if j != i {
			s.Cut(i, j)
		}
	}
}

// Mend lets pass between ports i and j what Cut, CutOneWay and Isolate kept.
func (s *Switch) Mend(i, j int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cut, way{i, j})
	delete(s.cut, way{j, i})
}

// Lose drops that part of all frames, 0 to 1, each by chance.
func (s *Switch) Lose(part float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loss = part
}

// Delay has each frame come out so much later.
func (s *Switch) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Heal ends all faults.
func (s *Switch) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cut)
	s.loss, s.delay = 0, 0
}

// read takes what is sent on port i until the port is closed.
func (s *Switch) read(p *port, i int) {
	buf := make([]byte, frameBytes)
	for {
		n, err := p.end.Read(buf)
		if err != nil {
			return // closed, or the interface was deleted
		}
		if n >= headerBytes {
			s.pass(i, buf[:n])
		}
	}
}

// pass hands a frame to the ports that it is for.
func (s *Switch) pass(from int, data []byte) {
	to, source := [6]byte(data[:6]), [6]byte(data[6:12])
	s.mu.RLock()
	known := s.learned[source] == from
	s.mu.RUnlock()
	if !known {
		s.mu.Lock()
		s.learned[source] = from
		s.mu.Unlock()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.recording != nil {
		s.recording.add(data)
	}
	if j := s.learned[to]; j != 0 { // never that of a group of receivers, which is nobody's source
		s.send(way{from, j}, data)
		return
	}
	for j := range s.ports {
		s.send(way{from, j + 1}, data)
	}
}

// send is called with mu held.
func (s *Switch) send(w way, data []byte) {
	if w.from == w.to || s.cut[w] || s.loss > 0 && rand.Float64() < s.loss {
		return
	}
	p := s.ports[w.to-1]
	if s.delay == 0 && len(p.late) == 0 {
		_, _ = p.end.Write(data) // an interface that is down takes nothing
		return
	}
	select {
	case p.late <- frame{append([]byte(nil), data...), time.Now().Add(s.delay)}:
	default:
	}
}

// deliver writes delayed frames when they are due, until the port is closed.
func (p *port) deliver() {
	for {
		select {
		case f := <-p.late:
			select {
			case <-time.After(time.Until(f.due)):
				_, _ = p.end.Write(f.data)
			case <-p.gone:
				return
			}
		case <-p.gone:
			return
		}
	}
}
