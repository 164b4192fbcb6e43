package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/table"
	"covey.dev/covey/node"
)

func newStatusCommand(base *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes of the cluster, who leads, and what can be lost",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return errors.New("unknown output format: there is json")
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			var status node.Status
			if err := s.Into(s.ctx(), client.Request{Path: node.StatusPath}, &status); err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), status)
			}
			return s.printStatus(status)
		},
	}
	base.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}

func (s *session) printStatus(status node.Status) error {
	p := table.Printer{Out: s.cmd.OutOrStdout()}
	p.Columns([]metav1.TableColumnDefinition{
		{Name: "Name"}, {Name: "Role"}, {Name: "Alive"}, {Name: "Zone"}, {Name: "Address"}, {Name: "Round-trip"}, {Name: "Behind"}, {Name: "Version"}, {Name: "Protocol"}, {Name: "ID"},
	})
	var rows []table.Row
	for _, m := range status.Members {
		alive, trip, behind, protocol := "no", "-", "-", "-"
		switch {
		case m.Silent:
			alive = "no answer"
		case m.Alive:
			alive = "yes"
		}
		if m.Millis > 0 {
			trip = fmt.Sprintf("%.1f ms", m.Millis)
		}
		if m.Behind > 0 {
			behind = fmt.Sprintf("%d revisions", m.Behind)
		}
		if m.Protocol != nil {
			protocol = m.Protocol.String()
		}
		rows = append(rows, table.Row{Cells: []any{
			orDash(m.Name), m.Role, alive, orDash(m.Zone), orDash(m.Address), trip, behind, orDash(m.Version), protocol, m.ID,
		}})
	}
	if err := p.Print(rows); err != nil {
		return err
	}
	s.say("\n%s", status.Summary)
	if status.Protocol.Summary != "" { // a server of an older covey says nothing of it
		s.say("%s", status.Protocol.Summary)
	}
	return nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
