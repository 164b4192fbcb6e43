package metrics

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestNamesFollowTheConventions of https://prometheus.io/docs/practices/naming: counters are totals, units are written out and are
// the base ones, and each name is there once.
func TestNamesFollowTheConventions(t *testing.T) {
	name, label := regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)+$`), regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, d := range Definitions() {
		if !name.MatchString(d.Name) || seen[d.Name] {
			t.Errorf("%s: a bad name, or one that is there twice", d.Name)
		}
		seen[d.Name] = true
		if total := strings.HasSuffix(d.Name, "_total"); total != (d.Type == prometheus.CounterValue) {
			t.Errorf("%s: counters and no others are called _total", d.Name)
		}
		for _, unit := range []string{"milli", "kilo", "mega", "_ms", "_kb", "percent"} {
			if strings.Contains(d.Name, unit) {
				t.Errorf("%s: %s is no base unit", d.Name, unit)
			}
		}
		if d.Help == "" || strings.HasSuffix(d.Help, ".") {
			t.Errorf("%s: its help is %q", d.Name, d.Help)
		}
		for _, l := range d.Labels {
			if !label.MatchString(l) {
				t.Errorf("%s: label %s", d.Name, l)
			}
		}
	}
}
