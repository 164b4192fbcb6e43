package autoscale

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rules are the defaults, between bounds.
func rules(least, most int32) *Rules {
	return &Rules{Min: least, Max: most, Alpha: DefaultAlpha, Up: DefaultUp(), Down: DefaultDown()}
}

// free are rules that hold nothing back but the bounds.
func free(least, most int32) *Rules {
	all := []Policy{{Percent: true, Value: math.MaxInt16, Period: time.Second}, {Value: math.MaxInt16, Period: time.Second}}
	down := []Policy{{Percent: true, Value: 100, Period: time.Second}}
	return &Rules{Min: least, Max: most, Alpha: DefaultAlpha, Up: Direction{Policies: all}, Down: Direction{Policies: down}}
}

func load(l, target float64) []Measurement { return []Measurement{{Load: l, Target: target, Ready: 1}} }

// TestThreeServices is the worked example of the rule: three services share a load.
func TestThreeServices(t *testing.T) {
	const services, alpha = 3, 0.2
	var a Average
	for _, step := range []struct {
		load, lambda, share float64
		n                   int32
	}{
		{load: 2, lambda: 2, share: 2. / 3, n: 1},
		{load: 3, lambda: 2.8, share: 2.8 / 3, n: 1},
	} {
		a = a.Next(alpha, step.load)
		lambda, ok := a.Value()
		if !ok || math.Abs(lambda-step.lambda) > 1e-12 {
			t.Errorf("L = %v: lambda = %v, want %v", step.load, lambda, step.lambda)
		}
		if share := lambda / services; math.Abs(share-step.share) > 1e-12 || Replicas(share, 1) != step.n {
			t.Errorf("L = %v: share %v, N = %d; want %v and %d", step.load, share, Replicas(share, 1), step.share, step.n)
		}
	}
}

func TestReplicas(t *testing.T) {
	for _, c := range []struct {
		lambda, target float64
		n              int32
	}{
		{0, 10, 0}, {0.001, 10, 1}, {10, 10, 1}, {10.001, 10, 2}, {30, 10, 3}, {0.1 + 0.2, 0.1, 3},
		{-1, 10, 0}, {10, 0, 0}, {10, -1, 0}, {math.NaN(), 1, 0}, {math.Inf(1), 1, math.MaxInt32}, {1e300, 1e-300, math.MaxInt32},
	} {
		if n := Replicas(c.lambda, c.target); n != c.n {
			t.Errorf("Replicas(%v, %v) = %d, want %d", c.lambda, c.target, n, c.n)
		}
	}
}

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		rules    *Rules
		current  int32
		measured []Measurement
		want     Decision
	}{
		"more load":                   {free(1, 10), 2, load(35, 10), Decision{Replicas: 4, Wanted: 4}},
		"less load":                   {free(1, 10), 4, load(15, 10), Decision{Replicas: 2, Wanted: 2}},
		"no load":                     {free(1, 10), 4, load(0, 10), Decision{Replicas: 1, Wanted: 0, Held: AtMin}},
		"no load, down to none":       {free(0, 10), 4, load(0, 10), Decision{}},
		"too much load":               {free(1, 10), 4, load(1000, 10), Decision{Replicas: 10, Wanted: 100, Held: AtMax}},
		"more than there may be":      {free(1, 3), 5, load(50, 10), Decision{Replicas: 3, Wanted: 5, Held: AtMax}},
		"fewer than there must":       {free(3, 5), 1, load(1, 10), Decision{Replicas: 3, Wanted: 1, Held: AtMin}},
		"the largest of several wins": {free(1, 10), 2, append(load(15, 10), load(70, 10)...), Decision{Replicas: 7, Wanted: 7, Metric: 1}},
		"nothing measured":            {free(1, 10), 2, []Measurement{{Target: 10, Ready: 2, Missed: 2}}, Decision{Replicas: 2, Wanted: 2, Metric: -1, Held: Unknown}},
		"no target":                   {free(1, 10), 2, []Measurement{{Load: 5, Ready: 2}}, Decision{Replicas: 2, Wanted: 2, Metric: -1, Held: Unknown}},
		"one metric unknown, the other wants more": {free(1, 10), 2, append(load(50, 10), Measurement{Target: 1}), Decision{Replicas: 5, Wanted: 5}},
		"one metric unknown, the other wants less": {free(1, 10), 4, append(load(5, 10), Measurement{Target: 1}), Decision{Replicas: 4, Wanted: 4, Held: Unknown}},
		"a little more than the target":            {rules(1, 10), 2, load(21, 10), Decision{Replicas: 2, Wanted: 2, Held: WithinTol}},
		"a little less":                            {rules(1, 20), 12, load(109, 10), Decision{Replicas: 12, Wanted: 12, Held: WithinTol}},
		"growing at most by four or to double":     {rules(1, 100), 2, load(500, 10), Decision{Replicas: 6, Wanted: 50, Held: ByPolicy}},
		"shrinking waits":                          {rules(1, 10), 8, load(10, 10), Decision{Replicas: 8, Wanted: 1, Held: ByWindow}},
		"missed replicas are no reason to shrink":  {free(1, 10), 4, []Measurement{{Load: 10, Target: 10, Ready: 4, Missed: 3}}, Decision{Replicas: 4, Wanted: 4}},
		"nor to grow":                              {free(1, 10), 4, []Measurement{{Load: 36, Target: 10, Ready: 4, Missed: 1}}, Decision{Replicas: 4, Wanted: 4}},
		"but those that were measured may be":      {free(1, 10), 4, []Measurement{{Load: 60, Target: 10, Ready: 4, Missed: 1}}, Decision{Replicas: 6, Wanted: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Scaler
			if d := s.Decide(start, c.rules, c.current, c.measured); d != c.want {
				t.Errorf("%+v, want %+v", d, c.want)
			}
		})
	}
}

// TestNoneAndBack: a load that is gone takes the last replica; one that a hand brings back stays for the window, and its load
// is estimated without what there was before.
func TestNoneAndBack(t *testing.T) {
	var s Scaler
	r, at, current := rules(0, 10), start, int32(1)
	step := func(m Measurement) Decision {
		at = at.Add(5 * time.Second)
		d := s.Decide(at, r, current, []Measurement{m})
		s.Scaled(at, current, d.Replicas)
		current = d.Replicas
		return d
	}
	step(Measurement{Load: 8, Target: 10, Ready: 1})
	for current > 0 && at.Before(start.Add(time.Hour)) {
		step(Measurement{Target: 10, Ready: 1})
	}
	if waited := at.Sub(start); waited < r.Down.Window || waited > r.Down.Window+time.Minute {
		t.Errorf("none after %v", waited)
	}
	if d := step(Measurement{Target: 10}); d.Replicas != 0 || d.Held != Free {
		t.Errorf("from none, of itself: %+v", d)
	}
	current = 1 // by hand
	if d := step(Measurement{Target: 10}); d.Replicas != 1 || d.Held != Unknown {
		t.Errorf("before it is ready: %+v", d)
	}
	if d := step(Measurement{Load: 0, Target: 10, Ready: 1}); d.Replicas != 1 || d.Held != ByWindow {
		t.Errorf("without load, at once: %+v", d)
	}
	if d := step(Measurement{Load: 25, Target: 10, Ready: 1}); d.Wanted != 2 || d.Replicas != 2 {
		t.Errorf("with load: %+v", d)
	}
}

// TestADemandBringsTheFirst: what waits while there is no replica is a load.
func TestADemandBringsTheFirst(t *testing.T) {
	var s Scaler
	if d := s.Decide(start, rules(0, 10), 0, load(12, 10)); d.Replicas != 2 || d.Metric != 0 {
		t.Errorf("%+v", d)
	}
	waiting := []Measurement{{Load: 12, Target: 10}}
	s = Scaler{}
	if d := s.Decide(start, rules(0, 10), 0, waiting); d.Replicas != 2 || d.Metric != 0 {
		t.Errorf("%+v", d)
	}
	slow := rules(0, 10)
	slow.Up.Window = time.Minute
	s = Scaler{}
	for at := time.Duration(0); ; at += 5 * time.Second {
		d := s.Decide(start.Add(at), slow, 0, waiting)
		if d.Replicas > 0 {
			if at < time.Minute {
				t.Errorf("within the window, after %v", at)
			}
			return
		}
		if at > 2*time.Minute {
			t.Fatal("the window never ends")
		}
	}
}

func TestShrinkingWaitsForTheWindow(t *testing.T) {
	var s Scaler
	r := rules(1, 10)
	s.Decide(start, r, 5, load(50, 10))
	for at := 5 * time.Second; ; at += 5 * time.Second {
		d := s.Decide(start.Add(at), r, 5, load(10, 10))
		if d.Replicas < 5 {
			if at < r.Down.Window || at > r.Down.Window+30*time.Second {
				t.Errorf("shrank after %v", at)
			}
			return
		}
		if at > time.Hour {
			t.Fatal("never shrank")
		}
	}
}

func TestPoliciesBoundAPeriod(t *testing.T) {
	var s Scaler
	r := free(1, 100)
	r.Up.Policies = []Policy{{Value: 2, Period: time.Minute}}
	current := int32(1)
	for at := time.Duration(0); at < time.Minute; at += 5 * time.Second {
		n := s.Decide(start.Add(at), r, current, load(1000, 10)).Replicas
		if at < 10*time.Second {
			n = current // it could not be written
		}
		s.Scaled(start.Add(at), current, n)
		current = n
	}
	if current != 3 {
		t.Errorf("%d replicas after a minute of a policy of 2", current)
	}
	r.Up.Select = SelectNone
	if d := s.Decide(start.Add(time.Hour), r, current, load(1000, 10)); d.Replicas != current || d.Held != ByPolicy {
		t.Errorf("with growth disabled: %+v", d)
	}
}

// TestAlwaysWithinTheBounds feeds everything that may be measured, and nothing leads out of the bounds.
func TestAlwaysWithinTheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.Int32Range(0, 5).Draw(t, "min")
		r := rules(least, least+rapid.Int32Range(1, 20).Draw(t, "more"))
		r.Alpha = rapid.Float64Range(0, 1).Draw(t, "alpha")
		var s Scaler
		current := rapid.Int32Range(0, 50).Draw(t, "current")
		for step := range rapid.IntRange(1, 50).Draw(t, "steps") {
			ready := rapid.IntRange(0, 10).Draw(t, "ready")
			m := Measurement{
				Load: rapid.Float64().Draw(t, "load"), Target: rapid.Float64().Draw(t, "target"),
				Ready: ready, Missed: rapid.IntRange(0, ready).Draw(t, "missed"),
			}
			d := s.Decide(start.Add(time.Duration(step)*5*time.Second), r, current, []Measurement{m})
			if d.Replicas < r.Min || d.Replicas > r.Max {
				t.Fatalf("%+v of %+v", d, m)
			}
			s.Scaled(start.Add(time.Duration(step)*5*time.Second), current, d.Replicas)
			current = d.Replicas
		}
	})
}

// poisson draws from a Poisson distribution; large means are drawn as sums of small ones.
func poisson(random *rand.Rand, mean float64) float64 {
	const most = 500
	n := 0.0
	for ; mean > most; mean -= most {
		n += poisson(random, most)
	}
	limit, product := math.Exp(-mean), random.Float64()
	for ; product > limit; n++ {
		product *= random.Float64()
	}
	return n
}

// TestASteadyPoissonLoadDoesNotFlap is 30 requests a second, counted every five seconds, at a target of 10: the estimate lies
// on the edge between three and four replicas, where noise changes the answer all the time.
func TestASteadyPoissonLoadDoesNotFlap(t *testing.T) {
	const rate, target, seconds, settling, hours = 30, 10, 5, 15 * time.Minute, 10
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s Scaler
		r, current, changes := rules(1, 20), int32(1), 0
		for at := time.Duration(0); at < hours*time.Hour; at += seconds * time.Second {
			d := s.Decide(start.Add(at), r, current, load(poisson(random, rate*seconds)/seconds, target))
			if d.Replicas != current && at > settling {
				changes++
			}
			s.Scaled(start.Add(at), current, d.Replicas)
			current = d.Replicas
		}
		if changes > hours {
			t.Errorf("seed %d: %d changes in %d hours", seed, changes, hours)
		}
		if current != 3 && current != 4 {
			t.Errorf("seed %d: %d replicas for a rate of %d at %d each", seed, current, rate, target)
		}
	}
}

// TestTheEstimateConvergesToTheRate: over many steps the estimate is as close to the rate as its variance lets it be.
func TestTheEstimateConvergesToTheRate(t *testing.T) {
	for _, alpha := range []float64{0.1, 0.2, 0.5, 0.9} {
		const rate, steps = 40.0, 20_000
		random := rand.New(rand.NewPCG(7, 7))
		var a Average
		var sum, squares float64
		for range steps {
			a = a.Next(alpha, poisson(random, rate))
			lambda, _ := a.Value()
			sum, squares = sum+lambda, squares+lambda*lambda
		}
		mean := sum / steps
		variance, want := squares/steps-mean*mean, rate*(1-alpha)/(1+alpha)
		if math.Abs(mean-rate) > 0.5 || variance < want*0.8 || variance > want*1.2 {
			t.Errorf("alpha %v: mean %.2f, variance %.2f; want %.0f and %.2f", alpha, mean, variance, rate, want)
		}
	}
}

// TestANewLeaderGoesOn: an estimate that is taken up makes the next step what it would have been.
func TestANewLeaderGoesOn(t *testing.T) {
	var old, next Scaler
	r := rules(1, 10)
	old.Decide(start, r, 3, load(30, 10))
	next.Resume(old.Estimates())
	a := old.Decide(start.Add(5*time.Second), r, 3, load(90, 10))
	b := next.Decide(start.Add(5*time.Second), r, 3, load(90, 10))
	if a.Wanted != b.Wanted || old.Estimates()[0] != next.Estimates()[0] {
		t.Errorf("the old leader says %+v, the new one %+v", a, b)
	}
	var fresh Scaler
	if d := fresh.Decide(start, r, 8, load(10, 10)); d.Replicas != 8 {
		t.Errorf("a leader that knows nothing shrinks at once: %+v", d)
	}
}
