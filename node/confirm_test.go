package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheFirstAnswerCounts(t *testing.T) {
	after := func(d time.Duration, answer string) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return "", ctx.Err()
			}
			if answer == "" {
				return "", errors.New("not the leader")
			}
			return answer, nil
		}
	}
	type asks = []func(context.Context) (string, error)
	for _, test := range []struct {
		name  string
		asks  asks
		want  string
		takes time.Duration
	}{
		{"the own one is in time", asks{after(900*time.Millisecond, "own"), after(0, "other")}, "own", 900 * time.Millisecond},
		{"the own one is late", asks{after(time.Hour, "own"), after(time.Second, ""), after(2*time.Second, "other")}, "other", 3 * time.Second},
		{"the own one fails", asks{after(10*time.Millisecond, ""), after(time.Second, "other")}, "other", 1010 * time.Millisecond},
		{"all fail", asks{after(10*time.Millisecond, ""), after(time.Second, ""), after(time.Second, "")}, "", 1010 * time.Millisecond},
		{"alone", asks{after(2*time.Second, "own")}, "own", 2 * time.Second},
		{"nobody answers", asks{after(time.Hour, "own"), after(time.Hour, "other")}, "", 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			got, err := first(ctx, time.Second, test.asks)
			if took := time.Since(began); got != test.want || (err == nil) != (test.want != "") || took != test.takes {
				t.Errorf("%s: %q, %v after %v", test.name, got, err, took)
			}
		})
	}
}
