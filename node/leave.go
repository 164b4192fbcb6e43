package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"covey.dev/covey/node/gossip"
	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
)

const (
	// LeavePath is where an administrator has a node leave the cluster.
	LeavePath = "/covey/leave"
	// leaveTimeout bounds how long that may take.
	leaveTimeout = 30 * time.Second
	// leaveRetry is how long after a refusal the leader is asked again.
	leaveRetry = 100 * time.Millisecond
	// leftFile in the data directory says that the node has left, so that it does not begin a cluster of its own when it is started again.
	leftFile = "left"
)

// ErrLeft is returned by Run when the node has left its cluster, and at each start after that.
var ErrLeft = errors.New("this node has left its cluster")

// ErrSole is why a server or a witness may not leave its cluster.
var ErrSole = errors.New("it is the only server that is alive and may lead, and the state would be lost; covey uninstall takes it off this machine")

// Sole reports whether the node that was asked cannot leave: no other server is alive that may lead.
func (s *Status) Sole() bool {
	return !slices.ContainsFunc(s.Members, func(m MemberStatus) bool {
		if m.Name == s.Node {
			return m.Role == RoleWorker
		}
		return m.Alive && !m.Witness && m.Role != RoleWorker
	})
}

const (
	// leftText is what is in it: as long as it is there, what the node had of the cluster is to go.
	leftText = "This node has left its cluster.\n"
	// restoringText is in it while a state is restored on the node: what is there then is not to go.
	restoringText = "This node has left its cluster, and a backup is being restored on it.\n"
)

// checkLeft forgets the cluster that the node has left if it was killed before it had done so.
func checkLeft(dataDir string) error {
	file := filepath.Join(dataDir, leftFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	switch {
	case err == nil && string(text) == leftText:
		err = forget(dataDir)
	case string(text) == restoringText:
		return fmt.Errorf("%w, and a restore on it was cut off: run covey restore --data-dir %s again", ErrLeft, dataDir)
	}
	return errors.Join(fmt.Errorf("%w: to have it join one again, remove %s and start it with --join and --token", ErrLeft, file), err)
}

// forget removes what a node that has left had of the cluster; its key, images and settings stay.
func forget(dataDir string) error {
	for _, gone := range []string{"store", checkpointDir, peersFile, protocolFile, "admin.kubeconfig"} {
		if err := os.RemoveAll(filepath.Join(dataDir, gone)); err != nil {
			return fmt.Errorf("remove what this node had of the cluster: %w", err)
		}
	}
	return identity.Forget(filepath.Join(dataDir, "identity"))
}

func (n *node) leaveHandler(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuse(w, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: "leave"}, r.Method))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), leaveTimeout)
	defer cancel()
	if err := n.leave(ctx); err != nil {
		refuse(w, apierrors.NewServiceUnavailable("leave the cluster: "+err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintln(w, "{}")
	n.log.Info("the node has left the cluster")
	n.end(ErrLeft)
}

// leave takes this node out of the cluster; the process has to end then.
func (n *node) leave(ctx context.Context) error {
	self := n.identity.NodeID()
	leads := func(m gossip.Member) bool { return m.ID != self && !m.Worker && !m.Witness && !m.Leaving }
	if !slices.ContainsFunc(n.gossip.Members(), leads) {
		return ErrSole
	}
	return n.depart(ctx, n.leaveRaft)
}

// depart tells the others that this node leaves, has out take it out of the cluster, and notes that it has left.
func (n *base) depart(ctx context.Context, out func(context.Context) error) error {
	if err := n.gossip.SetLeaving(true); err != nil {
		n.log.Debug("the others were not told at once that this node leaves", "error", err)
	}
	err := out(ctx)
	if err == nil {
		err = os.WriteFile(filepath.Join(n.cfg.DataDir, leftFile), []byte(leftText), 0o600)
	}
	if err != nil {
		return errors.Join(err, n.gossip.SetLeaving(false))
	}
	return nil
}

// leaveRaft has another server lead and take this one out.
func (n *node) leaveRaft(ctx context.Context) error {
	self := n.identity.NodeID()
	for {
		leader, err := n.store.AwaitLeader(ctx)
		if err != nil {
			return err
		}
		if leader == self {
			// Others are given votes first: there may be none beside this one's.
			if _, err = n.settleMembers(ctx); err == nil {
				err = n.handOver(ctx)
			}
		} else if err = n.peers.Leave(ctx, leader, self); err == nil {
			return nil
		}
		n.log.Debug("not out of the cluster yet", "leader", leader, "error", err)
		if !sleep(ctx, leaveRetry) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// Dismiss implements peer.Leader. A server that it fails for stays.
func (n *node) Dismiss(ctx context.Context, id string) (err error) {
	if !n.store.IsLeader() {
		return store.ErrNotLeader
	}
	n.members.leave(id, true)
	defer func() {
		if err != nil {
			n.members.leave(id, false)
		}
	}()
	if _, err := n.settleMembers(ctx); err != nil {
		return err
	}
	if n.isMember(id) {
		return fmt.Errorf("server %s is still needed", id)
	}
	_, err = n.store.Update(ctx, func(tx *store.Tx) error {
		for rec := range tx.Snapshot().List("nodes", "") {
			if rec.Object().(*corev1.Node).Annotations[nodeIDAnnotation] == id {
				tx.Delete(rec.Key(), rec.Revision())
			}
		}
		return nil
	})
	return err
}

// leave notes that a server goes, or stays.
func (m *members) leave(id string, goes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if goes {
		m.leaving[id] = true
	} else {
		delete(m.leaving, id)
	}
}
