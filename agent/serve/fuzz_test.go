package serve

import (
	"net/url"
	"testing"
	"time"
)

// FuzzLogQuery reads any query of a log request: what is taken makes sense.
func FuzzLogQuery(f *testing.F) {
	for _, seed := range []string{
		"tailLines=10&follow=true&timestamps=true", "sinceSeconds=9223372036854775807", "sinceSeconds=0&limitBytes=1", "sinceTime=2024-01-01T00:00:00Z",
		"sinceTime=x&tailLines=-1", "tailLines=1e3&stream=Stdout&previous=true", "sinceSeconds=10000000000&sinceTime=0001-01-01T00:00:00Z", "%zz&a=%00",
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		opts, _, err := readOptions(values, now)
		if err != nil {
			return
		}
		for name, n := range map[string]*int64{"tailLines": opts.TailLines, "limitBytes": opts.LimitBytes} {
			if n != nil && *n < 0 {
				t.Errorf("%s is %d", name, *n)
			}
		}
		if values.Get("sinceTime") == "" && opts.Since.After(now) {
			t.Errorf("so many seconds ago is %v, after now", opts.Since)
		}
	})
}
