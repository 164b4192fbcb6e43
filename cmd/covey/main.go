// The covey command runs a node and talks to one. See newRoot for what it can do; each command has a file of its own.
//
// A processor limit that changes while it runs is not looked for each second: an idle node would wake for that.
//
//go:debug updatemaxprocs=0
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"covey.dev/covey/api/client"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = "v0.0.0-dev"

// interruptedStatus is what a shell expects of a command that was ended by Ctrl-C.
const interruptedStatus = 128 + int(syscall.SIGINT)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once, whatever it is doing.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, newRoot(), os.Args[1:]))
}

// run executes a command line and returns the exit status of the process.
func run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.text != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), exit.text)
		}
		return exit.status
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return interruptedStatus
	}
	explain(cmd.ErrOrStderr(), err)
	return 1
}

// explain prints an error, or each of several on lines of its own.
func explain(out io.Writer, err error) {
	var many failures
	if errors.As(err, &many) {
		for _, one := range many {
			explain(out, one)
		}
		return
	}
	fmt.Fprintln(out, client.Explain(err))
}

// failures are the errors of a command that went on after the first.
type failures []error

// failed gives the error of a command that met these.
func failed(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return failures(errs)
}

// forEach does something to all, and returns the errors of those with which it failed.
func forEach[T any](all []T, do func(T) error) error {
	var errs []error
	for _, one := range all {
		if err := do(one); err != nil {
			errs = append(errs, err)
		}
	}
	return failed(errs)
}

func (f failures) Error() string { return errors.Join(f...).Error() }

func (f failures) Unwrap() []error { return f }

// exitError ends the process with a status of its own, after its text if it has one.
type exitError struct {
	status int
	text   string
}

func (e *exitError) Error() string { return e.text }

func newRoot() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "covey",
		Short: "A container orchestrator for the edge that speaks the Kubernetes API",
		Long: `covey runs containers on small machines and speaks the Kubernetes API.

"covey start" runs a node. The other commands talk to one, with kubectl's names and flags; on
the machine of a node they find its kubeconfig by themselves.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		// Flags may stand before the command too, as in "covey -n shop get pods".
		TraverseChildren: true,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:             cobra.NoArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{status: 1, text: fmt.Sprintf("error: %v\nSee '%s --help' for usage.", err, cmd.CommandPath())}
	})
	o.addFlags(root.Flags())
	root.AddCommand(
		newStartCommand(), newFenceCommand(), newCheckCommand(), newInstallCommand(), newUninstallCommand(),
		newApplyCommand(o), newGetCommand(o), newDescribeCommand(o), newDeleteCommand(o),
		newLogsCommand(o), newExecCommand(o), newScaleCommand(o), newRolloutCommand(o), newTokenCommand(o), newCACommand(o), newStatusCommand(o),
		newCordonCommand(o), newUncordonCommand(o), newDrainCommand(o), newLeaveCommand(o), newNodeCommand(o), newRecoverCommand(o), newPromoteCommand(o),
		newBackupCommand(o), newRestoreCommand(o),
		newImageCommand(o), newRegistryCommand(o), newSimulateCommand(), newVersionCommand(o), newCompletionCommand(),
	)
	showArguments(root)
	return root
}

// showArguments has cmd, and the commands below it, say how they are called where their arguments are too few or too many.
func showArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &exitError{status: 1, text: fmt.Sprintf("error: %v\nUsage: %s", err, cmd.UseLine())}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		showArguments(sub)
	}
}
