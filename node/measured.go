package node

import (
	"context"
	"time"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/gossip"
	"covey.dev/covey/scheduler/autoscaler"
	"covey.dev/covey/store"
)

// measured is a node as its metrics see it; it implements metrics.Source.
type measured struct{ node *node }

func (m measured) NodeName() string { return m.node.cfg.Name }

func (m measured) Version() string { return m.node.cfg.Version }

func (m measured) Snapshot() *store.Snapshot { return m.node.store.Snapshot() }

func (m measured) Leads() bool { return m.node.store.IsLeader() }

func (m measured) Gossip() gossip.Counts { return m.node.gossip.Counts() }

func (m measured) Contact(server string) time.Time { return m.node.store.Contact(server) }

func (m measured) Servers() []store.Member { return m.node.store.Members() }

func (m measured) Resources() []string { return resources() }

func (m measured) Autoscalers() []autoscaler.Observation {
	if m.node.autoscaler == nil {
		return nil // a witness decides nothing
	}
	return m.node.autoscaler.Observations()
}

func (m measured) Usage(ctx context.Context) (*agent.Measured, error) {
	if m.node.agent == nil {
		return &agent.Measured{}, nil // a witness runs nothing
	}
	return m.node.agent.Measure(ctx)
}
