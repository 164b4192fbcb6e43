package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestACertificateIsRenewedWhateverTheClockSays has a worker's clock be wrong, or be set while it runs, beside a server that is right: it
// never lets its certificate end by the server's clock, and does not ask again and again.
func TestACertificateIsRenewedWhateverTheClockSays(t *testing.T) {
	const day, year, life = 24 * time.Hour, 365 * 24 * time.Hour, 7 * 24 * time.Hour
	for name, off := range map[string]func(day int) time.Duration{
		"right":            func(int) time.Duration { return 0 },
		"an hour ahead":    func(int) time.Duration { return time.Hour },
		"an hour behind":   func(int) time.Duration { return -time.Hour },
		"years ahead":      func(int) time.Duration { return 30 * year },
		"years behind":     func(int) time.Duration { return -20 * year },
		"set after a day":  func(day int) time.Duration { return []time.Duration{-30 * year, 0}[min(day, 1)] },
		"leaps on day ten": func(day int) time.Duration { return []time.Duration{0, 5 * year}[min(day/10, 1)] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ends := began.Add(life) // by the server's clock
				renewals, attempts := 0, 0
				r := renewer{
					now:     func() time.Time { return time.Now().Add(off(int(time.Since(began) / day))) },
					renewAt: func() time.Time { return ends.Add(-life / 3) },
					renew: func(context.Context) error {
						if attempts++; attempts%2 == 1 {
							return errors.New("no server can be asked")
						}
						if time.Now().After(ends) {
							t.Errorf("the certificate ended %v ago", time.Since(ends))
						}
						renewals, ends = renewals+1, time.Now().Add(life)
						return nil
					},
					changed: func() <-chan struct{} { return nil },
					log:     slog.New(slog.DiscardHandler),
				}
				ctx, stop := context.WithTimeout(t.Context(), 60*day)
				defer stop()
				r.run(ctx)
				if time.Now().After(ends) {
					t.Error("the certificate has ended")
				}
				if renewals < 8 || renewals > 15 { // two thirds of a life are up 12 times
					t.Errorf("renewed %d times in 60 days", renewals)
				}
			})
		})
	}
}

// TestACertificateIsRenewedWhenTheCAChanges has that happen also while it is being renewed.
func TestACertificateIsRenewedWhenTheCAChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keysChanged signal
		renewals := 0
		ends := time.Now().Add(1000 * time.Hour)
		r := renewer{
			now: time.Now, renewAt: func() time.Time { return ends }, changed: keysChanged.wait, log: slog.New(slog.DiscardHandler),
			renew: func(context.Context) error {
				if renewals++; renewals < 3 {
					keysChanged.notify()
				}
				return nil
			},
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		time.AfterFunc(time.Second, keysChanged.notify)
		r.run(ctx)
		if renewals != 3 {
			t.Errorf("renewed %d times for three changes", renewals)
		}
	})
}
