package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"covey.dev/covey/cmd/covey/service"
	"covey.dev/covey/node"
)

func newUninstallCommand() *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take covey off this machine: the service, containers, mounts, interfaces",
		Long: `Take covey off this machine: the service, containers, mounts, interfaces, nftables tables and cgroups.

The data directory and the settings stay, so that "covey install" brings the node back; --purge removes them too.
A node of a cluster should leave it first: covey leave.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return uninstall(cmd, purge) },
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the state, the node's key, images, logs and settings too")
	return cmd
}

func uninstall(cmd *cobra.Command, purge bool) error {
	dataDir, stateDir, err := installedDirs()
	if err != nil {
		return err
	}
	if err := end(cmd.Context(), dataDir, stateDir); err != nil {
		return err
	}
	gone := []string{service.Program}
	if purge {
		if err := node.Purge(dataDir); err != nil {
			return err
		}
		gone = append(gone, service.ConfigFile, service.LogFile, service.OldLogFile)
	}
	for _, file := range gone {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if purge {
		_ = os.Remove(filepath.Dir(service.ConfigFile)) // unless there is more in it
		fmt.Fprintln(cmd.OutOrStdout(), "Uninstalled; nothing is left")
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Uninstalled. State, images and logs are in %s still (--purge removes them)\n", dataDir)
	return nil
}

// end stops the service, where the machine has one, and then ends what the node left running.
func end(ctx context.Context, dataDir, stateDir string) error {
	var cgroup string
	switch init, err := service.Detect(); {
	case err == nil:
		cgroup = init.Cgroup
		if err := init.Stop(ctx); err != nil {
			return err
		}
	case !errors.Is(err, service.ErrNoInit):
		return err
	}
	if err := node.Sweep(ctx, dataDir, stateDir, cgroup); err != nil {
		return fmt.Errorf("not all is gone, run covey uninstall again: %w", err)
	}
	return nil
}

// installedDirs are the directories of the node that the settings describe.
func installedDirs() (dataDir, stateDir string, err error) {
	var o startOptions
	flags := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	o.addFlags(flags)
	if err := settle(flags, func(string) (string, bool) { return "", false }); err != nil {
		return "", "", err
	}
	return o.dataDir, o.stateDir, o.fixed()
}
