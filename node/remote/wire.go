package remote

import "covey.dev/covey/store"

// The paths, on the protocol between nodes.
const (
	Prefix       = "/worker/"
	statePath    = Prefix + "state"
	registerPath = Prefix + "register"
	statusPath   = Prefix + "statuses"
	removePath   = Prefix + "remove"
	eventsPath   = Prefix + "events"
)

// maxBody is the most that a worker may send at once, and that it is answered with.
const maxBody = 16 << 20

// written answers what was written.
type written struct {
	Revision uint64 `json:"revision"`
}

// news is one message of the stream.
type news struct {
	Revision uint64         `json:"revision"`
	Whole    bool           `json:"whole,omitempty"` // the changes are all that there is
	Changes  []store.Change `json:"changes"`
}
