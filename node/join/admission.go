package join

import (
	"fmt"
	"time"
)

// Admission is what the cluster notes of a node that it has let in, until the node has started.
type Admission struct {
	NodeID  string    `json:"nodeID"`
	Name    string    `json:"name"`
	TokenID string    `json:"tokenID"`
	Worker  bool      `json:"worker,omitempty"`
	Time    time.Time `json:"time"` // the first, of those for the use of a token that it has had
}

const (
	// AdmissionLife is how long a node that proves its key is let in again for the use of a token that it has had: the answer may be lost.
	AdmissionLife = time.Hour
	// nameLife is how long a name is kept for a node that was let in. It takes seconds until the gossip knows of it.
	nameLife = time.Minute
)

// before finds when the same node was let in under that name for a use of that token.
func before(noted []Admission, wish Admission) (at time.Time, ok bool) {
	for _, a := range noted {
		same := wish
		if same.Time = a.Time; a == same && wish.Time.Sub(a.Time) < AdmissionLife {
			return a.Time, true
		}
	}
	return time.Time{}, false
}

// nameHeld is the error while another node that was just let in has not started under the same name. It may never do.
func nameHeld(noted []Admission, wish Admission) error {
	for _, a := range noted {
		if a.Name == wish.Name && a.NodeID != wish.NodeID && wish.Time.Sub(a.Time) < nameLife {
			return fmt.Errorf("another node joins as %q just now: if it is another machine, start this one with another --node-name", wish.Name)
		}
	}
	return nil
}
