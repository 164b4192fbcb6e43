package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/cmd/covey/table"
	"covey.dev/covey/scheduler/autoscale/simulate"
)

func newSimulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "simulate", Short: "Try out how covey decides, without a cluster",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSimulateAutoscaleCommand())
	return cmd
}

func newSimulateAutoscaleCommand() *cobra.Command {
	s := simulate.Default()
	var svg string
	var known []string
	for _, t := range simulate.Traces() {
		known = append(known, t.Name)
	}
	cmd := &cobra.Command{
		Use:   "autoscale [trace|file.csv ...]",
		Short: "Play loads to the autoscaler, beside Kubernetes' own rule",
		Long: `Play loads to the autoscaler, beside Kubernetes' own rule.

The code that decides is the one that a cluster runs. Traces: ` + strings.Join(known, ", ") + ` (all if none is named), or a file
with lines "second,requests per second". Requests come independently of each other.

OVERLOAD is how long there were more requests than the replicas can carry, LOST how many these were.`,
		Example: "  covey simulate autoscale\n  covey simulate autoscale flash --alpha 0.5 --svg .\n  covey simulate autoscale sunday.csv --target 25 --capacity 40",
		RunE:    func(cmd *cobra.Command, args []string) error { return simulateAutoscale(cmd, s, args, svg) },
	}
	f := cmd.Flags()
	f.Float64Var(&s.Target, "target", s.Target, "requests per second that each replica is to have")
	f.Float64Var(&s.Capacity, "capacity", s.Capacity, "requests per second that a replica can carry")
	f.DurationVar(&s.Start, "start", s.Start, "from the decision to a replica that answers")
	f.Int32Var(&s.Min, "min", s.Min, "least replicas")
	f.Int32Var(&s.Max, "max", s.Max, "most replicas")
	f.Float64Var(&s.Alpha, "alpha", s.Alpha, "weight of the past, 0 to 1")
	f.DurationVar(&s.Step, "step", s.Step, "from one measurement to the next, whole seconds")
	f.DurationVar(&s.Window, "window", s.Window, "stabilisation window before shrinking")
	f.Uint64Var(&s.Seed, "seed", s.Seed, "of the random arrivals")
	f.StringVar(&svg, "svg", "", "directory to write a picture of each trace to")
	return cmd
}

func simulateAutoscale(cmd *cobra.Command, s simulate.Setup, args []string, svg string) error {
	switch {
	case !(s.Alpha >= 0 && s.Alpha <= 1):
		return fmt.Errorf("--alpha %v: want 0 to 1", s.Alpha)
	case !(s.Target > 0) || !(s.Capacity > 0):
		return errors.New("--target and --capacity: want more than 0")
	case s.Step < time.Second || s.Step%time.Second != 0:
		return fmt.Errorf("--step %v: want whole seconds, at least 1s", s.Step)
	case s.Min < 0 || s.Max < 1 || s.Max < s.Min:
		return fmt.Errorf("--min %d, --max %d: want 0 or more, and no less than that", s.Min, s.Max)
	case s.Start < 0 || s.Window < 0:
		return errors.New("--start and --window: want no time before now")
	}
	traces, err := chosenTraces(args)
	if err != nil {
		return err
	}
	p := table.Printer{Out: cmd.OutOrStdout()}
	p.Columns([]metav1.TableColumnDefinition{
		{Name: "Trace"}, {Name: "Rule"}, {Name: "Replicas"}, {Name: "Most"}, {Name: "Changes"}, {Name: "Overload"}, {Name: "Lost"}, {Name: "Replica-seconds"},
	})
	var rows []table.Row
	for _, t := range traces {
		result := simulate.Simulate(t, s)
		for _, run := range result.Runs {
			rows = append(rows, table.Row{Cells: []any{
				t.Name, run.Rule, fmt.Sprintf("%.1f", run.MeanReplicas), run.Most, run.Changes,
				fmt.Sprintf("%.0fs", run.Overload.Seconds()), fmt.Sprintf("%.0f", run.Lost), fmt.Sprintf("%.0f", run.ReplicaSeconds),
			}})
		}
		if svg != "" {
			if err := draw(result, filepath.Join(svg, strings.TrimSuffix(filepath.Base(t.Name), ".csv")+".svg")); err != nil {
				return err
			}
		}
	}
	return p.Print(rows)
}

func draw(r simulate.Result, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("--svg: %w", err)
	}
	return errors.Join(r.SVG(f), f.Close())
}

// chosenTraces are those named: known ones, or files.
func chosenTraces(names []string) ([]simulate.Trace, error) {
	all := simulate.Traces()
	if len(names) == 0 {
		return all, nil
	}
	var out []simulate.Trace
	for _, name := range names {
		i := slices.IndexFunc(all, func(t simulate.Trace) bool { return t.Name == name })
		if i >= 0 {
			out = append(out, all[i])
			continue
		}
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			var known []string
			for _, t := range all {
				known = append(known, t.Name)
			}
			return nil, fmt.Errorf("%s is neither a file nor a trace; there are: %s", name, strings.Join(known, ", "))
		}
		if err != nil {
			return nil, err
		}
		t, err := simulate.Read(name, f)
		_ = f.Close()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}
