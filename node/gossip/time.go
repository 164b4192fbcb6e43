package gossip

import (
	"encoding/json"
	"time"
)

// state is exchanged with one other node each half a minute, and with whom this one joins. It comes from the node that it names: the guard
// sees to that.
type state struct {
	ID   string    `json:"id"`
	Time time.Time `json:"t"`
}

// LocalState implements memberlist.Delegate.
func (d delegate) LocalState(bool) []byte {
	if d.cfg.Clock == nil {
		return nil
	}
	data, _ := json.Marshal(state{ID: d.cfg.NodeID, Time: d.cfg.Clock().UTC().Truncate(time.Second)})
	return data
}

// MergeRemoteState implements memberlist.Delegate.
func (d delegate) MergeRemoteState(data []byte, _ bool) {
	var s state
	if d.cfg.Observe == nil || json.Unmarshal(data, &s) != nil || s.ID == "" || s.ID == d.cfg.NodeID {
		return // a node of another version may say nothing
	}
	if removed := d.cfg.Removed; removed != nil && removed(s.ID) {
		return
	}
	d.cfg.Observe(s.ID, s.Time)
}
