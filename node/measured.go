package node

import (
	"context"

	"covey.dev/covey/agent"
	"covey.dev/covey/scheduler/autoscaler"
	"covey.dev/covey/store"
)

// measured is a node as its metrics see it; it implements metrics.Source.
type measured struct{ node *node }

func (m measured) NodeName() string { return m.node.cfg.Name }

func (m measured) Version() string { return m.node.cfg.Version }

func (m measured) Snapshot() *store.Snapshot { return m.node.store.Snapshot() }

func (m measured) Leads() bool { return m.node.store.IsLeader() }

func (m measured) Alive() int { return len(m.node.gossip.Members()) }

func (m measured) Resources() []string { return resources() }

func (m measured) Autoscalers() []autoscaler.Observation { return m.node.autoscaler.Observations() }

func (m measured) Usage(ctx context.Context) (*agent.Measured, error) {
	return m.node.agent.Measure(ctx)
}

func (m measured) Voters() (voters, followers int) {
	for _, member := range m.node.store.Members() {
		if member.Voter {
			voters++
		} else {
			followers++
		}
	}
	return voters, followers
}
