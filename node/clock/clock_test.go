package clock

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	real  = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	y1970 = time.Unix(60, 0)
)

// machine has a clock that may be wrong.
type machine struct {
	file string
	off  time.Duration // of its clock, from the real time
	up   time.Duration
}

func (m *machine) open() *Clock {
	return Open(m.file, func() time.Time { return real.Add(m.off + m.up) }, func() time.Duration { return m.up }, slog.New(slog.DiscardHandler))
}

func newMachine(t *testing.T, clock time.Time) *machine {
	return &machine{file: filepath.Join(t.TempDir(), "time"), off: clock.Sub(real)}
}

// remembers has it have seen that time before; none if it is zero.
func (m *machine) remembers(t *testing.T, seen time.Time) {
	t.Helper()
	if seen.IsZero() {
		return
	}
	if err := os.WriteFile(m.file, []byte(seen.Format(time.RFC3339)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNowAndLatest(t *testing.T) {
	const hour, year = time.Hour, 365 * 24 * time.Hour
	for _, test := range []struct {
		name        string
		own         time.Time
		seen        time.Time
		peers       []time.Time
		now, latest time.Time
	}{
		{name: "alone", own: real, now: real, latest: real},
		{name: "alone in 1970", own: y1970, now: y1970, latest: y1970},
		{name: "in 1970, and seen better", own: y1970, seen: real.Add(-hour), now: real.Add(-hour), latest: real.Add(-hour)},
		{name: "in 1970, with another", own: y1970, peers: []time.Time{real}, now: real, latest: real},
		{name: "in 1970 for the second time", own: y1970, seen: real.Add(-year / 4), peers: []time.Time{real, real}, now: real, latest: real},
		{name: "the other is in 1970", own: real, peers: []time.Time{y1970}, now: real, latest: real},
		{name: "two others are in 1970", own: real, peers: []time.Time{y1970, y1970}, now: real, latest: real},
		{name: "the other is ahead", own: real, peers: []time.Time{real.Add(year)}, now: real, latest: real.Add(year)},
		{name: "one of two others is ahead", own: real, peers: []time.Time{real.Add(80 * year), real}, now: real, latest: real.Add(80 * year)},
		{name: "this one is ahead", own: real.Add(80 * year), peers: []time.Time{real, real}, now: real, latest: real.Add(80 * year)},
		{name: "this one was ahead", own: real, seen: real.Add(80 * year), peers: []time.Time{real, real}, now: real, latest: real.Add(80 * year)},
		{name: "this one is an hour behind", own: real.Add(-hour), peers: []time.Time{real, real}, now: real, latest: real},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t, test.own)
			m.remembers(t, test.seen)
			c := m.open()
			for i, peer := range test.peers {
				if !peer.Before(set) { // without being written down
					c.peers[fmt.Sprint(i)] = reading{peer, 0}
				}
			}
			for _, up := range []time.Duration{0, 10 * hour} {
				m.up = up
				if got := c.Now(); !got.Equal(test.now.Add(up)) {
					t.Errorf("after %v: now is %v, want %v", up, got, test.now.Add(up))
				}
				if got := c.Latest(); !got.Equal(test.latest.Add(up)) {
					t.Errorf("after %v: the latest is %v, want %v", up, got, test.latest.Add(up))
				}
			}
		})
	}
}

// TestTheTimeOutlivesARestart has a machine that begins in 1970 at each boot learn the time from others, and boot again without them.
func TestTheTimeOutlivesARestart(t *testing.T) {
	m := newMachine(t, y1970)
	m.open().Observe("other", real)
	if got := m.open().Now(); !got.Equal(real) {
		t.Errorf("after a restart it is %v, want %v", got, real)
	}
}

func TestTheTimeIsWrittenOnceADay(t *testing.T) {
	m := newMachine(t, real)
	c := m.open()
	written := func() string {
		data, _ := os.ReadFile(m.file)
		return string(data)
	}
	c.Remember()
	first := written()
	for m.up < 23*time.Hour {
		m.up += time.Hour
		c.Observe("other", real.Add(m.up))
	}
	if first == "" || written() != first {
		t.Errorf("the file had %q and has %q", first, written())
	}
	m.up += 2 * time.Hour
	c.Observe("other", real.Add(m.up))
	if written() == first {
		t.Error("a day later the file is the same")
	}
}

// TestAWrongTimeIsForgotten has a clock that was a lifetime ahead set right, among others that always were.
func TestAWrongTimeIsForgotten(t *testing.T) {
	ahead := newMachine(t, real.AddDate(80, 0, 0))
	ahead.open().Remember()
	ahead.off = 0
	c := ahead.open()
	c.Observe("a", real)
	if c.Now().Before(real.AddDate(79, 0, 0)) {
		t.Errorf("it is %v though nobody can tell which of two clocks is right", c.Now())
	}
	c.Observe("b", real)
	if got := c.Now(); !got.Equal(real) {
		t.Errorf("it is %v, want %v", got, real)
	}
	if got := ahead.open().Now(); !got.Equal(real) {
		t.Errorf("after a restart it is %v, want %v", got, real)
	}
}

// TestNoClockIsBelievedThatIsOutOfItsMind has other nodes say, and the file, what no clock says.
func TestNoClockIsBelievedThatIsOutOfItsMind(t *testing.T) {
	y9998 := time.Date(9998, 1, 1, 0, 0, 0, 0, time.UTC)
	m := newMachine(t, real)
	m.remembers(t, y9998)
	c := m.open()
	c.Start(y9998)
	for i := range 3 {
		c.Observe(fmt.Sprint(i), y9998)
	}
	for what, now := range map[string]time.Time{"now": c.Now(), "the latest": c.Latest(), "the stamp": c.Stamp()} {
		if !now.Equal(real) {
			t.Errorf("%s is %v", what, now)
		}
	}
	c.Observe("far ahead", real.AddDate(300, 0, 0))
	if got, want := c.Latest(), real.AddDate(lifetime, 0, 0); !got.Equal(want) {
		t.Errorf("the latest is %v, want %v", got, want)
	}
}

// TestTheClocksOfNodesThatAreGoneAreForgotten has two that were wrong mislead no longer.
func TestTheClocksOfNodesThatAreGoneAreForgotten(t *testing.T) {
	c := newMachine(t, real).open()
	for _, id := range []string{"a", "b"} {
		c.Observe(id, real.AddDate(80, 0, 0))
	}
	if got := c.Now(); got.Equal(real) {
		t.Fatalf("it is %v, among two clocks that are ahead", got)
	}
	c.Forget(func(id string) bool { return id == "a" || id == "b" })
	c.Observe("c", real)
	c.Observe("d", real)
	if got := c.Now(); !got.Equal(real) {
		t.Errorf("it is %v, want %v", got, real)
	}
}

func TestStartIsForAClockThatWasNeverSet(t *testing.T) {
	for clock, want := range map[time.Time]time.Time{y1970: real, real.Add(-time.Hour): real.Add(-time.Hour)} {
		m := newMachine(t, clock)
		c := m.open()
		c.Start(real)
		if got := c.Now(); !got.Equal(want) {
			t.Errorf("a clock at %v, told that it is %v: %v", clock, real, got)
		}
	}
}

// TestStampIsOfThisMachineUnlessItsClockIsWrong has a clock be set, and others be heard of.
func TestStampIsOfThisMachineUnlessItsClockIsWrong(t *testing.T) {
	const hour = time.Hour
	for _, test := range []struct {
		name       string
		own        time.Time
		seen, told time.Time
		peers      []time.Time
		want       time.Time
	}{
		{name: "alone", own: real, want: real},
		{name: "alone in 1970", own: y1970, want: y1970},
		{name: "in 1970, and seen better", own: y1970, seen: real.Add(-hour), want: real.Add(-hour)},
		{name: "in 1970, and told when it joined", own: y1970, told: real, want: real},
		{name: "in 1970, with another", own: y1970, peers: []time.Time{real}, want: real},
		{name: "the other is in 1970", own: real, peers: []time.Time{y1970}, want: real},
		{name: "hours from one other", own: real, peers: []time.Time{real.Add(2 * hour)}, want: real},
		{name: "was ahead", own: real, seen: real.AddDate(80, 0, 0), want: real},
		{name: "ahead of two", own: real.AddDate(80, 0, 0), peers: []time.Time{real, real}, want: real},
		{name: "hours behind two", own: real.Add(-2 * hour), peers: []time.Time{real, real}, want: real},
		{name: "seconds behind two", own: real.Add(-2 * time.Second), peers: []time.Time{real, real}, want: real.Add(-2 * time.Second)},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t, test.own)
			m.remembers(t, test.seen)
			c := m.open()
			if !test.told.IsZero() {
				c.Start(test.told)
			}
			for i, peer := range test.peers {
				c.Observe(fmt.Sprint(i), peer)
			}
			for _, m.up = range []time.Duration{0, hour} {
				if got := c.Stamp(); !got.Equal(test.want.Add(m.up)) {
					t.Errorf("after %v it is %v, want %v", m.up, got, test.want.Add(m.up))
				}
			}
			m.off = 0
			if got := c.Stamp(); !got.Equal(real.Add(m.up)) {
				t.Errorf("once the clock is set it is %v, want %v", got, real.Add(m.up))
			}
		})
	}
}
