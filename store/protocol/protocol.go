package protocol

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// Oldest and Newest are the versions that this covey speaks, with all between them.
	Oldest = 1
	Newest = 2
)

// speaks takes the place of the constants in a build for tests, which stands for an older or a newer covey:
// -ldflags "-X covey.dev/covey/store/protocol.speaks=1-1".
var speaks string

// Range is which versions a node speaks.
type Range struct {
	Oldest int `json:"oldest"`
	Newest int `json:"newest"`
}

// First is what a node speaks that names no range.
var First = Range{Oldest: 1, Newest: 1}

// Spoken is what this covey speaks.
func Spoken() Range {
	if r, ok := Parse(speaks); ok {
		return r
	}
	return Range{Oldest: Oldest, Newest: Newest}
}

// Parse reads what String wrote.
func Parse(text string) (r Range, ok bool) {
	oldest, newest, two := strings.Cut(text, "-")
	if !two {
		newest = oldest
	}
	var errs [2]error
	r.Oldest, errs[0] = strconv.Atoi(oldest)
	r.Newest, errs[1] = strconv.Atoi(newest)
	return r, errs[0] == nil && errs[1] == nil && r.valid()
}

// most is the highest number there can be: formats are told apart by one byte.
const most = 255

func (r Range) valid() bool { return r.Oldest >= 1 && r.Newest >= r.Oldest && r.Newest <= most }

// OrFirst is the range, or that of a node which names none.
func (r Range) OrFirst() Range {
	if r.valid() {
		return r
	}
	return First
}

func (r Range) String() string {
	if r.Oldest == r.Newest {
		return strconv.Itoa(r.Oldest)
	}
	return fmt.Sprintf("%d-%d", r.Oldest, r.Newest)
}

// Check returns a *Mismatch when a version is outside of the range.
func (r Range) Check(version int) error {
	if version < r.Oldest || version > r.Newest {
		return &Mismatch{Spoken: r, Version: version}
	}
	return nil
}

// Mismatch is the error of a covey that does not speak what the cluster has agreed on.
type Mismatch struct {
	Spoken  Range
	Version int // of the cluster
}

func (m *Mismatch) Error() string {
	if m.Version > m.Spoken.Newest {
		return fmt.Sprintf("this covey is too old for its cluster: it speaks protocol version %s, and the cluster has agreed on %d. "+
			"Run a newer covey on this node, as the other nodes do (covey status there shows their versions)", m.Spoken, m.Version)
	}
	return fmt.Sprintf("this covey is too new for its cluster: it speaks protocol version %s, and the cluster has agreed on %d. "+
		"Run a covey between the two first, on all nodes (covey status there shows their versions)", m.Spoken, m.Version)
}

// Agree returns the highest version that all nodes speak, and agreed, which it has now, where that is no higher. Nodes are those that
// are there and those that may come back.
func Agree(agreed int, nodes []Range) int {
	if len(nodes) == 0 {
		return agreed
	}
	highest := nodes[0].Newest
	for _, r := range nodes {
		highest = min(highest, r.Newest)
	}
	for _, r := range nodes {
		if highest < r.Oldest {
			return agreed // the one that is too new has to go first
		}
	}
	return max(agreed, highest)
}
