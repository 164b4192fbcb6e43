package agent

import (
	"time"

	"covey.dev/covey/agent/machine"
)

// Finding is what was found about one thing that pods need of the machine.
type Finding = machine.Finding

// The levels of findings.
const (
	FindingOK      = machine.OK
	FindingWarning = machine.Warning
	FindingMissing = machine.Missing
)

// CheckMachine looks for what pods need of this machine.
func CheckMachine(dataDir string, now time.Time) []Finding {
	return machine.Machine{DataDir: dataDir, Now: now}.Check()
}
