package gossip

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"

	"covey.dev/covey/store/protocol"
)

// Config is who this node is and what it gossips over.
type Config struct {
	NodeID  string
	Name    string // of the Node object
	Version string // of covey
	Worker  bool   // it holds no state
	Witness bool   // it votes, and runs no pods
	// Incarnation is the number of the cluster's incarnation that the node's state belongs to.
	Incarnation uint64
	Protocol    protocol.Range // the protocol versions that it speaks
	// Removed reports whether a node was removed from the cluster: what it says does not count. Nil: none was.
	Removed func(nodeID string) bool
	// Addresses are those that others reach this node at now, the best first; Moved says that there are others.
	Addresses func() []netip.Addr
	// Near says that an address is on a network of this machine: it is tried before others. Nil: none is.
	Near func(netip.Addr) bool
	// Everyone are the addresses at which all on a network of this machine hear what is sent. Nil: there are none.
	Everyone func() []netip.Addr

	Port    int // UDP and TCP
	Keys    Keys
	File    string // remembers the members' addresses for a restart
	Packets net.PacketConn
	Streams net.Listener
	// Dial connects with the node at one of these addresses; nodeID is empty when it is not known yet.
	Dial func(ctx context.Context, addresses []string, nodeID string) (net.Conn, error)
	// NodeOf is the ID of the node at the other end of a stream, by the key that it has shown. Nil: none has shown one.
	NodeOf func(net.Conn) string
	// Clock is what this machine's clock says, and Observe is told what those of others do.
	Clock   func() time.Time
	Observe func(nodeID string, t time.Time)
	// Refused is called with the addresses of nodes none of which let this one join.
	Refused func(ctx context.Context, addresses []string)
	Log     *slog.Logger
}

// Member is one node of the cluster that is alive as far as the others know.
type Member struct {
	ID      string // of its key
	Name    string // of its Node object
	Version string // of covey
	Worker  bool   // says that it holds no state; what it may do its certificate says
	Leaving bool   // is about to go for good
	Keys    uint64 // generation of the cluster's keys that it has
	Witness bool   // votes, and runs no pods
	// Incarnation of the cluster that its state belongs to.
	Incarnation uint64
	Protocol    protocol.Range // the protocol versions that it speaks

	Addresses []string // host:port, at least one; the one first that the node takes for best
}

// Address is the best of the member's addresses.
func (m Member) Address() string { return m.Addresses[0] }

// At reports whether the member is at an address.
func (m Member) At(ip net.IP) bool {
	return slices.ContainsFunc(m.Addresses, func(address string) bool {
		a, err := netip.ParseAddrPort(address)
		return err == nil && ip.Equal(a.Addr().AsSlice())
	})
}

// metadata travels with each member. Names are short because it has at most 512 bytes.
type metadata struct {
	Name        string       `json:"n"`
	Version     string       `json:"v"`
	Worker      bool         `json:"w,omitempty"`
	Leaving     bool         `json:"l,omitempty"`
	Keys        uint64       `json:"k,omitempty"`
	Addresses   []netip.Addr `json:"a,omitempty"`
	Incarnation uint64       `json:"i,omitempty"`
	Witness     bool         `json:"t,omitempty"`
	Protocol    []int        `json:"p,omitempty"` // the oldest and the newest version; newer coveys may say more behind that
}

// Gossip is this node's view of the cluster.
type Gossip struct {
	cfg       Config
	list      *memberlist.Memberlist
	transport *transport
	settings  *memberlist.Config
	leaving   atomic.Bool
	joining   sync.WaitGroup
	calls     chan call    // that others made
	toCall    atomic.Int32 // how often still because this node has moved
	ring      *memberlist.Keyring
	guard     guard

	generation atomic.Uint64 // of the keys

	// The members by ID, as the events told. Memberlist's own list is of nodes that it changes meanwhile.
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a member came, went or moved
	alive   map[string]Member
	lost    map[string]Member // that were members
	reached map[string]string // the address at which a node answered last
}

const (
	rejoinFirst = 100 * time.Millisecond
	rejoinMost  = 5 * time.Second
	// tellTimeout bounds the wait for others to hear what changed here.
	tellTimeout = time.Second
)

// New starts to gossip; alone, until Run joins others.
func New(cfg Config) (*Gossip, error) {
	ring, err := newKeyring(cfg.Keys)
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		cfg: cfg, ring: ring, changed: make(chan struct{}), calls: make(chan call, mostCalls),
		alive: map[string]Member{}, lost: map[string]Member{}, reached: map[string]string{},
	}
	g.guard.keys.Store(&cfg.Keys.Keys)
	g.transport = newTransport(cfg, g.Locate, &g.guard)
	g.generation.Store(cfg.Keys.Generation)
	g.settings = g.newSettings()
	list, err := memberlist.Create(g.settings)
	if err != nil {
		return nil, fmt.Errorf("start to gossip: %w", err)
	}
	g.list = list
	return g, nil
}

// Run joins the members at seeds (host:port) and those of an earlier run, and serves until ctx ends. The others then take
// this node for dead, unless it is back soon.
func (g *Gossip) Run(ctx context.Context, seeds []string) error {
	grp, ctx := errgroup.WithContext(ctx)
	grp.Go(func() error { return g.transport.run(ctx) })
	grp.Go(func() error { return g.remember(ctx) })
	grp.Go(func() error { return g.seek(ctx) })
	seeds = append(seeds, readAddresses(g.cfg.File)...)
	grp.Go(func() error { g.join(ctx, seeds); return nil })
	grp.Go(func() error { return g.callOthers(ctx, len(seeds) > 0) })
	grp.Go(func() error { return g.answerCalls(ctx) })
	<-ctx.Done()
	if g.leaving.Load() {
		if err := g.list.Leave(tellTimeout); err != nil {
			g.cfg.Log.Warn("the others were not told that this node has left; they notice within seconds", "error", err)
		}
	}
	err := g.list.Shutdown()
	waitErr := grp.Wait() // first: until then, one of these may begin to join another
	g.joining.Wait()
	if waitErr != nil {
		return waitErr
	}
	return err
}

// join tries the addresses again and again until one answers.
func (g *Gossip) join(ctx context.Context, addresses []string) {
	for wait := rejoinFirst; len(addresses) > 0; wait = min(2*wait, rejoinMost) {
		if g.meet(ctx, addresses) {
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if len(g.Members()) > 1 {
			return // it found us
		}
	}
}

// SetLeaving tells the others whether this node is about to go for good. If it is, Run says goodbye when it ends.
func (g *Gossip) SetLeaving(leaving bool) error {
	g.leaving.Store(leaving)
	return g.list.UpdateNode(tellTimeout)
}

// Members are the nodes that are alive, this one too, ordered by ID. One that was removed goes on saying that it is, in the cluster's own
// key, until that is rotated.
func (g *Gossip) Members() []Member {
	g.mu.Lock()
	members := slices.Collect(maps.Values(g.alive))
	g.mu.Unlock()
	if removed := g.cfg.Removed; removed != nil {
		members = slices.DeleteFunc(members, func(m Member) bool { return removed(m.ID) })
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

func member(n *memberlist.Node) Member {
	var meta metadata
	_ = json.Unmarshal(n.Meta, &meta) // a node of another version may say less
	m := Member{ID: n.Name, Name: meta.Name, Version: meta.Version, Worker: meta.Worker, Leaving: meta.Leaving, Keys: meta.Keys, Incarnation: meta.Incarnation, Witness: meta.Witness}
	if len(meta.Protocol) >= 2 {
		m.Protocol = protocol.Range{Oldest: meta.Protocol[0], Newest: meta.Protocol[1]}
	}
	m.Protocol = m.Protocol.OrFirst()
	for _, a := range meta.Addresses {
		m.Addresses = append(m.Addresses, netip.AddrPortFrom(a, n.Port).String())
	}
	if len(m.Addresses) == 0 {
		m.Addresses = []string{net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))}
	}
	return m
}

// Alive says whether the node of that ID is alive.
func (g *Gossip) Alive(nodeID string) bool {
	_, ok := g.find(func(m Member) bool { return m.ID == nodeID })
	return ok
}

// Named finds the node by the name of its Node object.
func (g *Gossip) Named(name string) (Member, bool) {
	return g.find(func(m Member) bool { return m.Name == name })
}

func (g *Gossip) find(is func(Member) bool) (Member, bool) {
	members := g.Members()
	i := slices.IndexFunc(members, is)
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

// Changed is closed at the next change of the members.
func (g *Gossip) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// notify tells that a member changed, and remembers where it is if it is lost.
func (g *Gossip) notify(m Member, lost bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.alive, m.ID)
	delete(g.lost, m.ID)
	if lost {
		g.lost[m.ID] = m
	} else {
		g.alive[m.ID] = m
	}
	g.settings.SuspicionMult = suspicionMult(len(g.alive))
	close(g.changed)
	g.changed = make(chan struct{})
}

// events tells the Gossip of changes.
type events struct{ *Gossip }

var _ memberlist.EventDelegate = events{}

func (e events) NotifyJoin(n *memberlist.Node)   { e.notify(member(n), false) }
func (e events) NotifyLeave(n *memberlist.Node)  { e.notify(member(n), true) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.notify(member(n), false) }

// delegate hands out this node's metadata and what its clock says, and takes calls; nothing else travels with the gossip.
type delegate struct{ *Gossip }

var _ memberlist.Delegate = delegate{}

func (d delegate) NodeMeta(limit int) []byte {
	meta := metadata{
		Name: d.cfg.Name, Version: d.cfg.Version, Worker: d.cfg.Worker, Leaving: d.leaving.Load(), Keys: d.generation.Load(),
		Addresses:   d.cfg.Addresses(),
		Incarnation: d.cfg.Incarnation,
		Witness:     d.cfg.Witness,
	}
	if d.cfg.Protocol != (protocol.Range{}) {
		meta.Protocol = []int{d.cfg.Protocol.Oldest, d.cfg.Protocol.Newest}
	}
	for {
		data, _ := json.Marshal(meta)
		if len(data) <= limit || len(meta.Addresses) <= 1 {
			return data
		}
		meta.Addresses = meta.Addresses[:len(meta.Addresses)-1] // beside a long name there is less room
	}
}

func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
