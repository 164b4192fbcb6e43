package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"covey.dev/covey/node"
)

// fenceCommand is started by covey itself, beside pods that may run at most once in the cluster.
const fenceCommand = "fence"

func newFenceCommand() *cobra.Command {
	return &cobra.Command{
		Use: fenceCommand + " DIR", Short: "End pods that may run at most once when covey does not say in time that they may go on",
		Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := newLogger(cmd, "info", "text")
			if err != nil {
				return err
			}
			return node.RunWatchdog(cmd.Context(), args[0], func() { fmt.Fprintln(cmd.OutOrStdout(), "ready") }, log)
		},
	}
}
