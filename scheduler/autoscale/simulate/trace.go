package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Trace is the rate of a load for each second, in requests per second.
type Trace struct {
	Name, About string
	Rates       []float64
}

const hour = 3600

// Traces are those that are known by name.
func Traces() []Trace {
	return []Trace{
		fixed(3, "on the edge of nothing"), fixed(30, "on the edge between three and four replicas"), fixed(300, "of which noise is a small part"),
		made("step", "from 10 to 80 and back", hour, func(t float64) float64 {
			if t >= hour/3 && t < 2*hour/3 {
				return 80
			}
			return 10
		}),
		made("ramp", "from 10 to 100 in an hour", hour, func(t float64) float64 { return 10 + 90*t/hour }),
		made("day", "a day's wave between 10 and 100", 24*hour, func(t float64) float64 { return 55 - 45*math.Cos(2*math.Pi*t/(24*hour)) }),
		made("flash", "eight times the load within half a minute, which then fades", hour, flash),
		made("on-off", "five minutes of 60, five minutes of 5", hour, func(t float64) float64 {
			if math.Mod(t, 600) < 300 {
				return 5
			}
			return 60
		}),
	}
}

// fixed is a load at a fixed rate.
func fixed(rate float64, about string) Trace {
	return made(fmt.Sprintf("poisson-%g", rate), fmt.Sprintf("%g requests a second, %s", rate, about), hour, func(float64) float64 { return rate })
}

// flash is a crowd: 20, after 20 minutes 160 within 30 seconds, fading with a time of 5 minutes.
func flash(t float64) float64 {
	const calm, peak, at, rise, fade = 20, 160, 1200, 30, 300
	switch {
	case t < at:
		return calm
	case t < at+rise:
		return calm + (peak-calm)*(t-at)/rise
	default:
		return calm + (peak-calm)*math.Exp(-(t-at-rise)/fade)
	}
}

func made(name, about string, seconds int, rate func(t float64) float64) Trace {
	t := Trace{Name: name, About: about, Rates: make([]float64, seconds)}
	for i := range t.Rates {
		t.Rates[i] = rate(float64(i))
	}
	return t
}

// longest is the longest trace, in seconds.
const longest = 31 * 24 * hour

// Read reads a trace from lines "second,rate"; a rate holds until the next line. Lines that begin with # are passed over.
func Read(name string, r io.Reader) (Trace, error) {
	t := Trace{Name: name, About: "read from a file"}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		second, rate, err := parse(text)
		switch {
		case err != nil:
			return Trace{}, fmt.Errorf("%s: line %d: %q: %w; want second,rate such as 60,12.5", name, n, text, err)
		case second < len(t.Rates):
			return Trace{}, fmt.Errorf("%s: line %d: second %d comes after second %d", name, n, second, len(t.Rates)-1)
		}
		last := 0.0
		if len(t.Rates) > 0 {
			last = t.Rates[len(t.Rates)-1]
		}
		for len(t.Rates) < second {
			t.Rates = append(t.Rates, last)
		}
		t.Rates = append(t.Rates, rate)
	}
	if err := lines.Err(); err != nil {
		return Trace{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(t.Rates) == 0 {
		return Trace{}, fmt.Errorf("%s: there is no line second,rate in it", name)
	}
	return t, nil
}

func parse(line string) (second int, rate float64, err error) {
	left, right, _ := strings.Cut(line, ",")
	if second, err = strconv.Atoi(strings.TrimSpace(left)); err != nil {
		return 0, 0, errors.New("the second is not a whole number")
	}
	if second < 0 || second > longest {
		return 0, 0, fmt.Errorf("the second is not between 0 and %d", longest)
	}
	if rate, err = strconv.ParseFloat(strings.TrimSpace(right), 64); err != nil || !(rate >= 0) || math.IsInf(rate, 1) {
		return 0, 0, errors.New("the rate is not a number from 0 up")
	}
	return second, rate, nil
}

// Length is how long the trace lasts.
func (t *Trace) Length() time.Duration { return time.Duration(len(t.Rates)) * time.Second }

// arrivals draws how many requests come in each second: independent ones, so that their number has a Poisson distribution.
func (t *Trace) arrivals(seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, uint64(len(t.Rates))))
	out := make([]float64, len(t.Rates))
	for i, rate := range t.Rates {
		out[i] = poisson(random, rate)
	}
	return out
}

// poisson draws from a Poisson distribution. A great mean is drawn from the normal distribution that it is close to.
func poisson(random *rand.Rand, mean float64) float64 {
	if mean > 500 {
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*random.NormFloat64()))
	}
	n, limit, product := 0.0, math.Exp(-mean), random.Float64()
	for ; product > limit; n++ {
		product *= random.Float64()
	}
	return n
}
