package machine

import (
	"time"

	"golang.org/x/sys/unix"
)

// released is before the first release of covey: a clock that says less was not set.
var released = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func (m Machine) clock() Finding {
	var state unix.Timex
	_, err := unix.Adjtimex(&state)
	return judgeClock(m.Now, err == nil && state.Status&unix.STA_UNSYNC == 0)
}

func judgeClock(now time.Time, synchronised bool) Finding {
	const remedy = "let the machine synchronise its clock: systemd-timesyncd, chrony or busybox ntpd"
	said := now.UTC().Format(time.DateTime)
	switch {
	case now.Before(released):
		return Finding{"clock", Warning, "it says " + said + ", so it was never set", remedy}
	case !synchronised:
		return Finding{"clock", Warning, "it says " + said + " UTC, and nobody keeps it right", remedy}
	}
	return ok("clock", "synchronised")
}
