package protocol

import (
	"errors"
	"testing"
)

func TestAgree(t *testing.T) {
	for name, test := range map[string]struct {
		agreed int
		nodes  []Range
		want   int
	}{
		"one node alone":                              {1, []Range{{1, 2}}, 2},
		"several at once":                             {1, []Range{{1, 4}, {2, 4}, {1, 5}}, 4},
		"one that is old holds it":                    {1, []Range{{1, 2}, {1, 1}, {1, 2}}, 1},
		"one that names no range holds it":            {1, []Range{{1, 2}, First}, 1},
		"as far as the oldest goes":                   {1, []Range{{1, 3}, {1, 2}, {2, 4}}, 2},
		"it never falls":                              {3, []Range{{1, 2}, {1, 2}}, 3},
		"neighbours":                                  {2, []Range{{2, 3}, {2, 4}}, 3},
		"one that is too new is not waited for":       {1, []Range{{1, 2}, {3, 4}}, 1},
		"nobody is known":                             {2, nil, 2},
		"all are newer than what was agreed on":       {1, []Range{{3, 4}, {3, 5}}, 4},
		"nothing to do":                               {2, []Range{{1, 2}, {1, 2}}, 2},
		"the highest of one is the oldest of another": {2, []Range{{2, 3}, {3, 4}}, 3},
	} {
		if got := Agree(test.agreed, test.nodes); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestCheckSaysBothVersionsAndWhatToDo(t *testing.T) {
	for _, v := range []int{2, 3, 4} {
		if err := (Range{2, 4}).Check(v); err != nil {
			t.Errorf("%d: %v", v, err)
		}
	}
	var m *Mismatch
	if err := (Range{1, 1}).Check(2); !errors.As(err, &m) || err.Error() != "this covey is too old for its cluster: it speaks protocol version 1, and the cluster has agreed on 2. "+
		"Run a newer covey on this node, as the other nodes do (covey status there shows their versions)" {
		t.Errorf("too old: %v", err)
	}
	if err := (Range{3, 4}).Check(2); !errors.As(err, &m) || err.Error() != "this covey is too new for its cluster: it speaks protocol version 3-4, and the cluster has agreed on 2. "+
		"Run a covey between the two first, on all nodes (covey status there shows their versions)" {
		t.Errorf("too new: %v", err)
	}
}

func TestRangesAreRead(t *testing.T) {
	for _, r := range []Range{{1, 1}, {1, 2}, {3, 255}} {
		if got, ok := Parse(r.String()); !ok || got != r {
			t.Errorf("%s is read as %v", r, got)
		}
	}
	for _, text := range []string{"", "-", "0", "0-2", "2-1", "1-256", "x", "1-", "-1", "1-2-3"} {
		if r, ok := Parse(text); ok {
			t.Errorf("%q is read as %v", text, r)
		}
	}
	if got := (Range{}).OrFirst(); got != First {
		t.Errorf("no range is %v", got)
	}
	if got := Spoken(); got != (Range{Oldest, Newest}) {
		t.Errorf("this covey speaks %v", got)
	}
}
