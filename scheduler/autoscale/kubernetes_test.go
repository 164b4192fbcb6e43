package autoscale

import (
	"testing"
	"time"
)

// The cases here are those of Kubernetes' own controller (pkg/controller/podautoscaler, v1.37): TestScalingWithRules,
// TestNormalizeDesiredReplicasWithBehavior, TestTolerance and TestConfigurableTolerance, by their names.

// spread are changes in the middle of equal parts of the last two minutes.
func spread(more ...int32) []change {
	var out []change
	part := 120 * time.Second / time.Duration(max(1, len(more)))
	for i, m := range more {
		ago := 120*time.Second - part*time.Duration(i+1) + part/2
		out = append(out, change{start.Add(-ago.Truncate(time.Second)), m})
	}
	return out
}

// policies are one of pods and one of percent, each with its period in seconds.
func policies(pods, podsPeriod, percent, percentPeriod int32) []Policy {
	var out []Policy
	if pods != 0 {
		out = append(out, Policy{Value: pods, Period: time.Duration(podsPeriod) * time.Second})
	}
	if percent != 0 {
		out = append(out, Policy{Percent: true, Value: percent, Period: time.Duration(percentPeriod) * time.Second})
	}
	return out
}

func TestPoliciesAreThoseOfKubernetes(t *testing.T) {
	for name, c := range map[string]struct {
		ups, downs            []change
		least, most           int32
		up, down              []Policy // the defaults without any
		current, wanted, want int32
		selectUp, selectDown  Select
		held                  Held
	}{
		"within range":                           {least: 3, most: 8, current: 5, wanted: 7, want: 7},
		"fewer than the least":                   {least: 2, most: 8, current: 3, wanted: 1, want: 2, held: AtMin},
		"none where the least is none":           {least: 0, most: 10, current: 1, wanted: 0, want: 0},
		"more than the most":                     {least: 100, most: 150, current: 100, wanted: 1000, want: 150, held: AtMax},
		"user policies":                          {least: 1, most: 2000, up: policies(0, 0, 1, 60), current: 3, wanted: 1000, want: 4, held: ByPolicy},
		"up by default":                          {least: 1, most: 1000, current: 10, wanted: 50, want: 20, held: ByPolicy},
		"up by pods, which allow more":           {least: 1, most: 1000, up: policies(100, 60, 100, 60), current: 10, wanted: 500, want: 110, held: ByPolicy},
		"up by percent, which allow more":        {least: 1, most: 1000, up: policies(2, 60, 100, 60), current: 10, wanted: 500, want: 20, held: ByPolicy},
		"up, many pods":                          {least: 1, most: 1000, up: policies(100, 60, 0, 0), current: 10, wanted: 50, want: 50},
		"up, much percent":                       {least: 1, most: 1000, up: policies(0, 0, 10000, 60), current: 10, wanted: 50, want: 50},
		"up, pods":                               {least: 1, most: 1000, up: policies(30, 60, 0, 0), current: 10, wanted: 50, want: 40, held: ByPolicy},
		"up, percent":                            {least: 1, most: 1000, up: policies(0, 0, 200, 60), current: 10, wanted: 50, want: 30, held: ByPolicy},
		"up, Min":                                {least: 1, most: 1000, up: policies(2, 60, 100, 60), selectUp: SelectLeast, current: 10, wanted: 500, want: 12, held: ByPolicy},
		"up, Disabled":                           {least: 1, most: 1000, selectUp: SelectNone, current: 10, wanted: 500, want: 10, held: ByPolicy},
		"down by pods, which allow more":         {least: 1, most: 1000, down: policies(20, 60, 1, 60), current: 100, wanted: 2, want: 80, held: ByPolicy},
		"down by pods again":                     {least: 1, most: 1000, down: policies(2, 60, 1, 60), current: 100, wanted: 2, want: 98, held: ByPolicy},
		"down, Min":                              {least: 1, most: 1000, down: policies(20, 60, 1, 60), selectDown: SelectLeast, current: 100, wanted: 2, want: 99, held: ByPolicy},
		"down, Disabled":                         {least: 1, most: 1000, selectDown: SelectNone, current: 100, wanted: 2, want: 100, held: ByPolicy},
		"down to the least, many pods":           {least: 1, most: 1000, down: policies(100, 60, 0, 0), current: 10, wanted: 0, want: 1, held: AtMin},
		"down to the least, all percent":         {least: 5, most: 1000, down: policies(0, 0, 100, 60), current: 10, wanted: 2, want: 5, held: AtMin},
		"down, pods":                             {least: 1, most: 1000, down: policies(5, 60, 0, 0), current: 10, wanted: 2, want: 5, held: ByPolicy},
		"down, percent":                          {least: 1, most: 1000, down: policies(0, 0, 50, 60), current: 10, wanted: 5, want: 5},
		"up after ups, many pods":                {ups: spread(1, 5, 9), least: 1, most: 200, up: policies(300, 60, 0, 0), current: 100, wanted: 500, want: 200, held: AtMax},
		"up after ups, much percent":             {ups: spread(1, 5, 9), least: 1, most: 200, up: policies(0, 0, 10000, 60), current: 100, wanted: 500, want: 200, held: AtMax},
		"up after more ups than are allowed now": {ups: spread(1, 5, 9), least: 1, most: 1000, up: policies(5, 120, 0, 0), current: 100, wanted: 500, want: 100, held: ByPolicy},
		"up after ups, pods":                     {ups: spread(1, 5, 9), least: 1, most: 1000, up: policies(150, 120, 0, 0), current: 100, wanted: 500, want: 235, held: ByPolicy},
		"up after ups, percent":                  {ups: spread(1, 5, 9), least: 1, most: 1000, up: policies(0, 0, 200, 120), current: 100, wanted: 500, want: 255, held: ByPolicy},
		"up after ups and downs, percent":        {ups: spread(4), downs: spread(2), least: 1, most: 1000, up: policies(0, 0, 300, 300), current: 6, wanted: 24, want: 16, held: ByPolicy},
		"down after downs, by default":           {downs: spread(1, 5, 9), least: 1, most: 1000, current: 10, wanted: 5, want: 5},
		"down after downs, many pods":            {downs: spread(1, 5, 9), least: 5, most: 1000, down: policies(130, 120, 0, 0), current: 100, wanted: 0, want: 5, held: AtMin},
		"down after downs, all percent":          {downs: spread(1, 5, 9), least: 5, most: 1000, down: policies(0, 0, 100, 120), current: 100, wanted: 2, want: 5, held: AtMin},
		"down after downs, pods":                 {downs: spread(1, 5, 9), least: 1, most: 1000, down: policies(5, 120, 0, 0), current: 100, wanted: 2, want: 100, held: ByPolicy},
		"down after downs, percent":              {downs: spread(2, 4, 6), least: 1, most: 1000, down: policies(0, 0, 50, 120), current: 100, wanted: 0, want: 56, held: ByPolicy},
		"down after ups and downs, percent":      {ups: spread(2), downs: spread(4), least: 1, most: 1000, down: policies(0, 0, 50, 180), current: 10, wanted: 1, want: 6, held: ByPolicy},
		"down after more downs than are allowed": {downs: spread(10, 10, 10), least: 1, most: 1000, down: policies(0, 0, 10, 120), current: 100, wanted: 0, want: 100, held: ByPolicy},
		"down below none":                        {downs: spread(10, 10, 10), least: 1, most: 1000, down: policies(0, 0, 1000, 120), current: 10, wanted: 5, want: 5},
		"up, what is older than the period":      {ups: spread(8, 12, 9, 11), least: 1, most: 1000, up: policies(1000, 30, 100, 60), current: 100, wanted: 200, want: 200},
		"down, what is older than the period":    {downs: spread(8, 12, 9, 11), least: 1, most: 1000, down: policies(1000, 30, 100, 60), current: 100, wanted: 5, want: 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules(c.least, c.most)
			if c.up != nil {
				r.Up.Policies = c.up
			}
			if c.down != nil {
				r.Down.Policies = c.down
			}
			r.Up.Select, r.Down.Select = c.selectUp, c.selectDown
			s := Scaler{ups: c.ups, downs: c.downs}
			d := Decision{Replicas: c.wanted}
			if d.limit(&s, start, r, c.current); d.Replicas != c.want || d.Held != c.held {
				t.Errorf("%d replicas, held %q; want %d, %q", d.Replicas, d.Held, c.want, c.held)
			}
		})
	}
}

func TestWindowsAreThoseOfKubernetes(t *testing.T) {
	ago := func(n int32, d time.Duration) recommendation { return recommendation{start.Add(-d), n} }
	for name, c := range map[string]struct {
		advised               []recommendation
		current, wanted, want int32
		up, down              time.Duration
	}{
		"no window":                   {[]recommendation{ago(1, time.Minute)}, 100, 5, 5, 0, 0},
		"down":                        {[]recommendation{ago(4, 2*time.Minute), ago(5, time.Minute)}, 100, 3, 5, 0, 3 * time.Minute},
		"up":                          {[]recommendation{ago(4, 2*time.Minute), ago(5, time.Minute)}, 1, 7, 4, 5 * time.Minute, 0},
		"no window down":              {[]recommendation{ago(1, 2*time.Minute), ago(2, time.Minute)}, 100, 3, 3, 5 * time.Minute, 0},
		"no window up":                {[]recommendation{ago(4, 2*time.Minute), ago(5, time.Minute)}, 1, 3, 3, 0, 5 * time.Minute},
		"old ones don't count down":   {[]recommendation{ago(10, 10*time.Minute), ago(4, time.Minute), ago(5, 2*time.Minute), ago(9, 9*time.Minute)}, 100, 3, 5, 0, 3 * time.Minute},
		"old ones don't count up":     {[]recommendation{ago(1, 100*time.Minute), ago(6, time.Minute), ago(5, 2*time.Minute), ago(9, 3*time.Minute)}, 1, 100, 5, 5 * time.Minute, 0},
		"no growth while it falls":    {[]recommendation{ago(2, 100*time.Minute), ago(3, 3*time.Minute)}, 2, 1, 2, 5 * time.Minute, 5 * time.Minute},
		"no shrinking while it rises": {[]recommendation{ago(2, 100*time.Minute), ago(1, 3*time.Minute)}, 2, 3, 2, 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := free(0, 1000)
			r.Up.Window, r.Down.Window = c.up, c.down
			s := Scaler{advised: c.advised}
			d := Decision{Replicas: c.wanted, Wanted: c.wanted}
			if s.steady(start, r, c.current, &d); d.Replicas != c.want {
				t.Errorf("%d replicas, want %d", d.Replicas, c.want)
			}
		})
	}
}

// TestToleranceIsThatOfKubernetes: of the ratio between a replica's load and its target, both ends included.
func TestToleranceIsThatOfKubernetes(t *testing.T) {
	for name, c := range map[string]struct {
		load     float64 // of all replicas, whose target is 1 each
		up, down float64
		want     int32
	}{
		"up within":              {3.3, 0.1, 0.1, 3},
		"up beyond":              {3.31, 0.1, 0.1, 4},
		"down within":            {2.7, 0.1, 0.1, 3},
		"a whole replica less":   {2, 0.1, 0.1, 2},
		"less by a part of one":  {2.69, 0.1, 0.1, 3},
		"up by 1 % of tolerance": {3.06, 0.01, 0.1, 4},
		"down by 90 %":           {0.9, 0.1, 0.9, 3},
		"none at all":            {3.001, 0, 0, 4},
	} {
		t.Run(name, func(t *testing.T) {
			r := free(1, 5)
			r.Up.Tolerance, r.Down.Tolerance = c.up, c.down
			var s Scaler
			if d := s.Decide(start, r, 3, load(c.load, 1)); d.Replicas != c.want {
				t.Errorf("%+v, want %d", d, c.want)
			}
		})
	}
}
