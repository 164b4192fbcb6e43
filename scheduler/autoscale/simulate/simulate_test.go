package simulate

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func named(t *testing.T, name string) Trace {
	t.Helper()
	for _, trace := range Traces() {
		if trace.Name == name {
			return trace
		}
	}
	t.Fatalf("no trace %s", name)
	return Trace{}
}

func TestBothRulesFollowAStep(t *testing.T) {
	r := Simulate(named(t, "step"), Default())
	for _, run := range r.Runs {
		if before, during, after := run.Replicas[1100], run.Replicas[2000], run.Replicas[3599]; before > 2 || during < 8 || during > 9 || after > 2 {
			t.Errorf("%s: %d, %d, %d replicas before, during and after", run.Rule, before, during, after)
		}
		if run.Overload == 0 || run.Overload > 2*time.Minute {
			t.Errorf("%s: overloaded for %v", run.Rule, run.Overload)
		}
	}
	if covey, other := r.Runs[0], r.Runs[1]; covey.Overload >= other.Overload {
		t.Errorf("a step of %v is met after %v, one of %v after %v", covey.Step, covey.Overload, other.Step, other.Overload)
	}
}

func TestASteadyLoadIsLeftAlone(t *testing.T) {
	for _, run := range Simulate(named(t, "poisson-30"), Default()).Runs {
		var after int
		for i := 901; i < len(run.Replicas); i++ {
			if run.Replicas[i] != run.Replicas[i-1] {
				after++
			}
		}
		if run.Rule == "covey" && after > 1 {
			t.Errorf("%d changes in three quarters of an hour", after)
		}
	}
}

func TestTheSameSeedGivesTheSame(t *testing.T) {
	a, b := Simulate(named(t, "flash"), Default()), Simulate(named(t, "flash"), Default())
	if a.Runs[0].Lost != b.Runs[0].Lost || a.Runs[1].ReplicaSeconds != b.Runs[1].ReplicaSeconds {
		t.Error("two runs differ")
	}
}

func TestRead(t *testing.T) {
	trace, err := Read("f", strings.NewReader("# second,rate\n0,5\n3, 7.5\n\n5,0\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{5, 5, 5, 7.5, 7.5, 0}
	if len(trace.Rates) != len(want) {
		t.Fatalf("%v", trace.Rates)
	}
	for i := range want {
		if trace.Rates[i] != want[i] {
			t.Fatalf("%v, want %v", trace.Rates, want)
		}
	}
	for _, bad := range []string{"", "x", "0", "0,-1", "0,NaN", "0,Inf", "-1,5", "5,1\n3,1", "99999999999,1", "1.5,2"} {
		if _, err := Read("f", strings.NewReader(bad)); err == nil || !strings.HasPrefix(err.Error(), "f: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestThePictureIsXML(t *testing.T) {
	r := Simulate(named(t, "day"), Default())
	r.Trace.About = `<&"`
	var b strings.Builder
	if err := r.SVG(&b); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != 4 || b.Len() > 200<<10 {
		t.Errorf("%d lines, %d bytes", lines, b.Len())
	}
}

func BenchmarkADay(b *testing.B) {
	trace := Traces()[5]
	for b.Loop() {
		Simulate(trace, Default())
	}
}
