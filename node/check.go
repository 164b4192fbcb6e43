package node

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"covey.dev/covey/agent"
)

// Finding is what was found about one thing that pods need of the machine.
type Finding = agent.Finding

// CheckMachine looks for what pods need of this machine. The data directory need not exist yet.
func CheckMachine(dataDir string, now time.Time) []Finding { return agent.CheckMachine(dataDir, now) }

// Unfit is the error of a machine that lacks something without which pods cannot run; nil for others.
func Unfit(findings []Finding) error {
	var errs []error
	for _, f := range findings {
		if f.Level == agent.FindingMissing {
			errs = append(errs, fmt.Errorf("this machine cannot run pods: %s", f))
		}
	}
	return errors.Join(errs...)
}

// examine warns of what the machine lacks, and gives an error if pods could not run.
func examine(dataDir string, log *slog.Logger) error {
	findings := CheckMachine(dataDir, time.Now())
	for _, f := range findings {
		if f.Level == agent.FindingWarning {
			log.Warn("the machine is not as it should be", "check", f.Check, "found", f.Found, "remedy", f.Remedy)
		}
	}
	return Unfit(findings)
}
