package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"covey.dev/covey/cmd/covey/service"
	"covey.dev/covey/node"
)

func newInstallCommand() *cobra.Command {
	var o startOptions
	cmd := &cobra.Command{
		Use:   "install [flags of start]",
		Short: "Make this machine a node: now, and at each boot",
		Long: `Make this machine a node: now, and at each boot.

Copies this program to ` + service.Program + `, writes the given flags of "covey start" to ` + service.ConfigFile + `,
and has systemd or OpenRC run the node. Run again with a newer covey it upgrades: containers go on meanwhile,
and settings that are not given again stay.`,
		Example: "  covey install\n  covey install --join 192.0.2.7:7443 --token TOKEN",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return install(cmd, &o) },
	}
	o.addFlags(cmd.Flags())
	_ = cmd.Flags().MarkHidden("config") // there is one file that the service reads
	return cmd
}

func install(cmd *cobra.Command, o *startOptions) error {
	if cmd.Flags().Changed("config") {
		return errors.New("--config: the service reads " + service.ConfigFile)
	}
	init, err := service.Detect()
	if err != nil {
		return err
	}
	if err := fromHere(cmd.Flags()); err != nil {
		return err
	}
	old, err := os.ReadFile(service.ConfigFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	config, err := configured(old, cmd.Flags())
	if err != nil {
		return fmt.Errorf("%s: %w", service.ConfigFile, err)
	}
	// What the service will read has to be right before anything is changed.
	if err := settle(cmd.Flags(), func(string) (string, bool) { return "", false }); err != nil {
		return err
	}
	if _, err := o.config(cmd); err != nil {
		return err
	}
	if err := o.fixed(); err != nil {
		return err
	}
	if !o.witness { // which runs no pods
		if err := examine(cmd, o.dataDir); err != nil {
			return err
		}
	}
	if err := copyProgram(); err != nil {
		return err
	}
	if err := service.Write(service.ConfigFile, config, 0o600); err != nil { // it may hold a token
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Starting %s with %s\n", service.Program, init.Name)
	if err := init.Start(cmd.Context(), o.dataDir, cmd.ErrOrStderr()); err != nil {
		return err
	}
	if o.worker {
		fmt.Fprintln(cmd.OutOrStdout(), "Installed, as a worker. Next, on a server: covey get nodes")
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Installed. Next: export KUBECONFIG=%s/admin.kubeconfig && covey get nodes\n", o.dataDir)
	return nil
}

// examine says what the machine lacks, and gives an error if pods could not run.
func examine(cmd *cobra.Command, dataDir string) error {
	findings := node.CheckMachine(dataDir, time.Now())
	for _, f := range findings {
		if f.Remedy != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", f.Level, f)
		}
	}
	if node.Unfit(findings) != nil {
		return errors.New("not installed: pods cannot run on this machine as it is")
	}
	return nil
}

// copyProgram puts the running program where the service looks for it; one that runs from there replaces itself by rename.
func copyProgram() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Stat(self)
	if err != nil {
		return err
	}
	if to, err := os.Stat(service.Program); err == nil && os.SameFile(from, to) {
		return nil
	}
	content, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return service.Write(service.Program, content, 0o755)
}
