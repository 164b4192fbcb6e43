package agent

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// others is where images can be had within the cluster; nil when there is no other node.
func (a *Agent) others() Holders {
	if a.Peers == nil {
		return nil
	}
	return a.holders
}

// nodesChanged hears of all nodes of the cluster.
func (a *Agent) nodesChanged(nodes []*corev1.Node) {
	a.routeTo(nodes)
	if arrived := a.holders.follow(nodes); len(arrived) > 0 {
		a.imagesArrived(func(ref string) bool { return arrived[ref] })
	}
}

// announce tells the cluster which images this node has, if that has changed.
func (a *Agent) announce(ctx context.Context) {
	a.telling.Lock()
	defer a.telling.Unlock()
	a.countImages(ctx)
	if !a.registered {
		return
	}
	if _, err := a.upstream.Register(ctx, a.nodeObject(a.cidr)); err != nil && ctx.Err() == nil {
		a.Logger.Warn("the cluster was not told which images this node has", "error", err)
	}
}

// tellNode writes what there is to say of this node.
func (a *Agent) tellNode(ctx context.Context) error {
	a.telling.Lock()
	defer a.telling.Unlock()
	_, err := a.upstream.Register(ctx, a.nodeObject(a.cidr))
	return err
}

// countImages takes in which images this node has. a.telling is held.
func (a *Agent) countImages(ctx context.Context) {
	list, err := a.runtime.ListImages(ctx)
	if err != nil {
		if ctx.Err() == nil {
			a.Logger.Warn("the images of this node could not be listed", "error", err)
		}
		return
	}
	pushed, err := a.registry.Pushed(ctx)
	if err != nil && ctx.Err() == nil {
		a.Logger.Warn("what was pushed to this node could not be listed", "error", err)
	}
	a.imageStatus = imageStatus(append(pushed, list...))
}
