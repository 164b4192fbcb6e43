package netlist

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestAListIsAskedForUntilItIsWhole has a kernel whose first lists are interrupted.
func TestAListIsAskedForUntilItIsWhole(t *testing.T) {
	other := errors.New("no buffer space available")
	for name, test := range map[string]struct {
		answers []error // one after the other, the last again and again
		asked   int
		err     error
	}{
		"at once":                        {[]error{nil}, 1, nil},
		"the third time":                 {[]error{netlink.ErrDumpInterrupted, fmt.Errorf("list: %w", netlink.ErrDumpInterrupted), nil}, 3, nil},
		"never":                          {[]error{netlink.ErrDumpInterrupted}, tries, netlink.ErrDumpInterrupted},
		"another error is not asked for": {[]error{netlink.ErrDumpInterrupted, other}, 2, other},
	} {
		asked := 0
		got, err := whole(func() ([]string, error) {
			asked++
			return []string{"lo"}, test.answers[min(asked, len(test.answers))-1]
		})
		if asked != test.asked || !errors.Is(err, test.err) || err == nil && len(got) != 1 {
			t.Errorf("%s: asked %d times, want %d: %v, %v, want %v", name, asked, test.asked, got, err, test.err)
		}
	}
}
