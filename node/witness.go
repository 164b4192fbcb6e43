package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/api"
	"covey.dev/covey/node/registry"
	"covey.dev/covey/store"
)

// What kubectl shows as a node's roles: of a server, as in Kubernetes, and of a witness, which keeps pods away as a taint.
const (
	serverLabel  = "node-role.kubernetes.io/control-plane"
	witnessLabel = "node-role.kubernetes.io/witness"
)

// checkNoPods refuses to make a witness of a node that runs pods: nobody would look after them, and the cluster would take them for well.
func checkNoPods(cfg Config) error {
	pods, err := os.ReadDir(filepath.Join(cfg.DataDir, "pods"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--witness: look for pods: %w", err)
	}
	if len(pods) > 0 {
		return fmt.Errorf("--witness: this node has pods, which a witness does not run (%d): start it without, run covey drain %s, and start it with --witness then", len(pods), cfg.Name)
	}
	return nil
}

// serveWitness is serve of a node that votes and keeps the state, and does nothing else: it runs no pods, and leads only until another
// server can. So it needs no container runtime.
func (n *node) serveWitness(ctx context.Context) error {
	if err := n.openAPI(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	n.startServer(ctx, g)
	g.Go(func() error { return lead(ctx, n.store.Leading(), n.passOn) })
	g.Go(func() error { return n.registerWitness(ctx) })
	return g.Wait()
}

// passOn is what a witness does while it leads: it has another server lead. It may have been elected because it alone had the newest
// entries; those go to the other one first.
func (n *node) passOn(ctx context.Context) error {
	for {
		if err := n.handOver(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("a witness leads, and no other server does yet", "error", err)
		}
		if !sleep(ctx, memberRetry) {
			return nil
		}
	}
}

// registerWitness keeps the Node object as it should be, which has no room for pods.
func (n *node) registerWitness(ctx context.Context) error {
	for {
		moved := n.relocated.wait()
		_, err := n.store.Update(ctx, n.putWitness)
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			n.log.Warn("the node is not registered yet", "error", err)
			again = time.After(memberRetry)
		}
		select {
		case <-moved:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *node) putWitness(tx *store.Tx) error {
	key := store.Key{Resource: "nodes", Name: n.cfg.Name}
	now := metav1.NewTime(n.clock.Stamp().Truncate(time.Second))
	rec, there := tx.Get(key)
	if !there {
		created := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.cfg.Name, UID: uuid.NewUUID(), CreationTimestamp: now}}
		n.describeWitness(created, now)
		tx.Create(key, created)
		return nil
	}
	old, ok := rec.Object().(*corev1.Node)
	if !ok {
		return errors.New("the node's object is of a version that this covey does not know")
	}
	next := old.DeepCopy()
	n.describeWitness(next, now)
	if !equality.Semantic.DeepEqual(old, next) {
		tx.Put(key, next, rec.Revision())
	}
	return nil
}

func (n *node) describeWitness(node *corev1.Node, now metav1.Time) {
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	delete(node.Labels, serverLabel) // if it was started without --witness before
	node.Labels[corev1.LabelHostname] = n.cfg.Name
	node.Labels[corev1.LabelOSStable], node.Labels[corev1.LabelArchStable] = goruntime.GOOS, goruntime.GOARCH
	maps.Copy(node.Labels, n.labels())
	maps.Copy(node.Annotations, n.annotations())
	node.Spec.Taints = []corev1.Taint{{Key: witnessLabel, Effect: corev1.TaintEffectNoSchedule}}
	ready := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Witness", Message: "it votes, and runs no pods",
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
	for _, c := range node.Status.Conditions {
		if c.Type == ready.Type && c.Status == ready.Status {
			ready = c
		}
	}
	node.Status = corev1.NodeStatus{
		Conditions:      []corev1.NodeCondition{ready},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(n.port.Addr().Port)}}, //nolint:gosec // a port
		NodeInfo: corev1.NodeSystemInfo{
			KubeletVersion:  "v" + api.KubernetesVersion + "+covey-" + strings.TrimPrefix(n.cfg.Version, "v"),
			OperatingSystem: goruntime.GOOS, Architecture: goruntime.GOARCH,
		},
	}
	for _, prefix := range n.addresses.List() {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: prefix.Addr().String()})
	}
}

// agentHandler answers for this node's pods.
func (n *node) agentHandler() http.Handler {
	if n.agent == nil {
		return http.HandlerFunc(n.hasNoPods)
	}
	return n.agent.Handler()
}

// registryHandler answers who pushes and pulls images at /v2/.
func (n *node) registryHandler() http.Handler {
	users := http.Handler(http.HandlerFunc(n.hasNoPods))
	if n.agent != nil {
		users = n.agent.Registry()
	}
	return registry.Handler(n.store, users, n.clock.Now, n.log)
}

// hasNoPods answers what a witness is asked about pods and images, in the form of Kubernetes and in that of registries.
func (n *node) hasNoPods(w http.ResponseWriter, _ *http.Request) {
	text := fmt.Sprintf("node %s is a witness, which has neither pods nor images: ask another node", n.cfg.Name)
	type registryError struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	answer := struct {
		metav1.Status `json:",inline"`
		Errors        []registryError `json:"errors"`
	}{
		metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
			Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: text,
		},
		[]registryError{{"UNSUPPORTED", text}},
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(answer)
}
