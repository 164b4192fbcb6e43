package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/cmd/covey/table"
	"covey.dev/covey/node"
)

func newCheckCommand() *cobra.Command {
	var dataDir, output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for what pods need of this machine, with the remedy for what is not there",
		Long: `Look for what pods need of this machine, with the remedy for what is not there.

covey start looks too: it logs warnings, and does not start where something is missing.
The exit status is 1 if something is missing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return errors.New("unknown output format: there is json")
			}
			dataDir, err := directory("data-dir", dataDir)
			if err != nil {
				return err
			}
			findings := node.CheckMachine(dataDir, time.Now())
			if err := printFindings(cmd, findings, output); err != nil {
				return err
			}
			if node.Unfit(findings) != nil {
				return &exitError{status: 1}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "/var/lib/covey", "the data directory that the node has or will have")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}

func printFindings(cmd *cobra.Command, findings []node.Finding, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), findings)
	}
	p := table.Printer{Out: cmd.OutOrStdout()}
	p.Columns([]metav1.TableColumnDefinition{{Name: "Check"}, {Name: "Is"}, {Name: "Found"}, {Name: "Remedy"}})
	var rows []table.Row
	for _, f := range findings {
		rows = append(rows, table.Row{Cells: []any{f.Check, f.Level, f.Found, f.Remedy}})
	}
	return p.Print(rows)
}
