package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/table"
	"covey.dev/covey/node"
)

// caOverlap is how long the old CA is trusted when nothing else is said.
const caOverlap = 24 * time.Hour

func newCACommand(base *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca COMMAND",
		Short: "Show and rotate the cluster's certificate authority and gossip key",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	base.addFlags(cmd.PersistentFlags())
	cmd.AddCommand(newCAStatus(base), newCARotate(base))
	return cmd
}

func newCAStatus(base *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which CAs are trusted, which gossip keys are in use, and which nodes do not know of them yet",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return errors.New("unknown output format: there is json")
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return s.keys(client.Request{Path: node.KeysPath}, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}

func newCARotate(base *options) *cobra.Command {
	var overlap time.Duration
	var gossipOnly bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the cluster's CA, and the key of its gossip",
		Long: `Replace the cluster's CA, and the key of its gossip.

All nodes get new certificates by themselves. For the overlap the old CA is trusted beside the new
one: kubeconfigs and join tokens from before go on being good that long, and no longer. The kubeconfig
that each node keeps is renewed at once. A node that is off meanwhile gets the new keys when it is back.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if overlap < 0 {
				return errors.New("--overlap: want 0 or more")
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			query := url.Values{node.OverlapQuery: {overlap.String()}}
			if gossipOnly {
				query.Set(node.GossipOnlyQuery, "true")
			}
			return s.keys(client.Request{Method: http.MethodPost, Path: node.KeysPath, Query: query}, "")
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", caOverlap, "how long the old CA is trusted beside the new one")
	cmd.Flags().BoolVar(&gossipOnly, "gossip-key-only", false, "leave the CA as it is; the gossip key is replaced every 30 days anyway")
	return cmd
}

// keys prints the answer to a request about the cluster's keys.
func (s *session) keys(request client.Request, output string) error {
	var status node.KeysStatus
	if err := s.Into(s.ctx(), request, &status); err != nil {
		return err
	}
	if output == "json" {
		return printJSON(s.cmd.OutOrStdout(), status)
	}
	return s.printKeys(status)
}

func (s *session) printKeys(status node.KeysStatus) error {
	p := table.Printer{Out: s.cmd.OutOrStdout()}
	p.Columns([]metav1.TableColumnDefinition{{Name: "Key"}, {Name: "ID"}, {Name: "State"}})
	var rows []table.Row
	for i, ca := range status.Authorities {
		state := "signs"
		if i > 0 {
			state = "trusted until " + ca.Until.Format(time.RFC3339)
		}
		rows = append(rows, table.Row{Cells: []any{"CA", ca.Fingerprint, state}})
	}
	for i, key := range status.GossipKeys {
		state := "encrypts"
		switch {
		case i > 0 && key.Until.IsZero():
			state = "waits for all nodes to have it"
		case i > 0:
			state = "understood until " + key.Until.Format(time.RFC3339)
		}
		rows = append(rows, table.Row{Cells: []any{"gossip", key.ID, state}})
	}
	if err := p.Print(rows); err != nil {
		return err
	}
	if len(status.Behind) > 0 {
		s.say("\n%s", fmt.Sprintf("Nodes that do not have these keys yet: %s", strings.Join(status.Behind, ", ")))
	}
	return nil
}
