package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/link"
)

// incarnationFile in the data directory holds the number of the incarnation of the cluster that the node's state belongs to. There is none
// where the cluster was never recovered. A higher number takes the place of all lower ones.
const incarnationFile = "incarnation"

func readIncarnation(dataDir string) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(dataDir, incarnationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the incarnation of the cluster: %w", err)
	}
	number, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the incarnation of the cluster in %s: %w", filepath.Join(dataDir, incarnationFile), err)
	}
	return number, nil
}

func writeIncarnation(dataDir string, number uint64) error {
	if err := writeFile(filepath.Join(dataDir, incarnationFile), strconv.FormatUint(number, 10)+"\n"); err != nil {
		return fmt.Errorf("write the incarnation of the cluster: %w", err)
	}
	return nil
}

// nextIncarnation counts up in its upper half. The lower one is drawn, so that two recoveries that know nothing of each other do not make
// one cluster.
func nextIncarnation(number uint64) uint64 {
	var draw [4]byte
	_, _ = rand.Read(draw[:]) // never fails
	return (number>>32+1)<<32 | uint64(binary.BigEndian.Uint32(draw[:]))
}

// writeFile replaces a small file as a whole: after a crash it has its old content or its new one, on the disk.
func writeFile(file, content string) error {
	f, err := os.OpenFile(file+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// kin says whether a server is of this node's incarnation of the cluster: if it has said so itself, or else as far as the gossip knows. One
// that does not know may be in a cluster that was never recovered.
func (n *node) kin(nodeID string) bool {
	m, ok := n.gossip.LastKnown(nodeID)
	said := m.Incarnation == n.incarnation
	if !ok {
		said = n.incarnation == 0
	}
	return n.kindred.is(nodeID, said)
}

// serves says whether a node is a server of this incarnation, as kin does. One that is no member may have come back as a worker.
func (n *node) serves(m gossip.Member) bool {
	return n.kindred.has(m.ID) && n.isMember(m.ID) || !m.Worker && m.Incarnation == n.incarnation
}

// kindred are the servers that have said themselves that they are of this node's incarnation of the cluster. What the gossip says of a node
// whoever has its key may have said, and servers that do not speak with each other for it would be a cluster without a majority.
type kindred struct {
	mu     sync.Mutex
	same   map[string]bool
	asking map[string]bool
	asked  chan string // that are to be asked
}

// mostAsked wait to be asked. Of more, some are asked at the next occasion.
const mostAsked = 64

func newKindred() kindred {
	return kindred{same: map[string]bool{}, asking: map[string]bool{}, asked: make(chan string, mostAsked)}
}

func (k *kindred) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.same[id]
}

// is has the server be asked unless it has said before what the gossip says.
func (k *kindred) is(id string, said bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if same := k.same[id]; !k.asking[id] && (!same || !said) {
		select {
		case k.asked <- id:
			k.asking[id] = true
		default:
		}
	}
	return k.same[id] || said
}

// learn takes note of an answer.
func (k *kindred) learn(id string, same bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if same {
		k.same[id] = true
	} else {
		delete(k.same, id)
	}
}

// done has the server be asked again when there is a doubt again.
func (k *kindred) done(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.asking, id)
}

// askKindred asks servers for their incarnation, until ctx ends.
func (n *node) askKindred(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case id := <-n.kindred.asked:
			asking.Go(func() {
				defer n.kindred.done(id)
				n.askUntilItAnswers(ctx, id)
			})
		case <-ctx.Done():
			return nil
		}
	}
}

// askUntilItAnswers asks a server again as long as it is a member, and returns a moment after its answer: there may be a doubt at each connection.
func (n *node) askUntilItAnswers(ctx context.Context, id string) {
	for {
		number, err := n.askIncarnation(ctx, id)
		if err == nil {
			n.kindred.learn(id, number == n.incarnation)
		} else {
			n.log.Debug("a server did not say of which incarnation of the cluster it is", "id", id, "error", err)
		}
		if !sleep(ctx, incarnationRetry) || err == nil || !n.isMember(id) {
			return
		}
	}
}

// kinListener closes connections of servers of another incarnation.
type kinListener struct {
	net.Listener
	node *node
}

func (l kinListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if from, ok := link.NodeOf(conn); ok && l.node.kin(from.ID) {
			return conn, nil
		}
		_ = conn.Close()
	}
}

const (
	// incarnationTimeout bounds the question for a node's incarnation: two connections and an answer, over any line.
	incarnationTimeout = 10 * time.Second
	// incarnationRetry is how long after a failure the node is asked again.
	incarnationRetry = 5 * time.Second
)

// watchIncarnation ends the node when there is a newer incarnation of the cluster: what it has is not the state any more. The next start
// sets that aside.
func (n *node) watchIncarnation(ctx context.Context) error {
	for {
		changed := n.gossip.Changed()
		var again <-chan time.Time // it may gossip before it answers
		for _, m := range n.gossip.Members() {
			if m.Worker || m.Incarnation <= n.incarnation {
				continue
			}
			number, err := n.askIncarnation(ctx, m.ID)
			if err != nil {
				n.log.Warn("a node that says to be of a newer incarnation of the cluster was not believed", "node", m.Name, "error", err)
				again = time.After(incarnationRetry)
				continue
			}
			if number > n.incarnation {
				return n.yield(m.Name, number)
			}
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// askIncarnation asks a server itself: what the gossip says any node may have said.
func (n *node) askIncarnation(ctx context.Context, id string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, incarnationTimeout)
	defer cancel()
	conn, err := n.links.DialServer(ctx, id, gossipProtocol)
	if err != nil {
		return 0, err
	}
	_ = conn.Close()
	return n.peers.Incarnation(ctx, id)
}

// yield has the next start give up this node's state for that of the newer incarnation.
func (n *node) yield(to string, number uint64) error {
	n.log.Error("the cluster was recovered without this node: it sets its state aside, and copies that of the cluster as it is now", "recoveredOn", to)
	if err := writeFile(filepath.Join(n.cfg.DataDir, yieldFile), strconv.FormatUint(number, 10)); err != nil {
		return fmt.Errorf("give up the state for that of %s: %w", to, err)
	}
	n.end(ErrAgain)
	return nil
}
