package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/remotecommand"

	"covey.dev/covey/api/client"
)

type execOptions struct {
	*options
	container  string
	stdin, tty bool
	quiet      bool
}

func newExecCommand(base *options) *cobra.Command {
	o := &execOptions{options: base}
	cmd := &cobra.Command{
		Use:               "exec (POD | TYPE/NAME) [-c CONTAINER] [-it] -- COMMAND [ARG...]",
		Short:             "Run a command in a container",
		Example:           "  covey exec hello-0 -- env\n  covey exec -it deploy/hello -c hello -- sh",
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: base.completeOf("pods", "deployment/", "replicaset/"),
	}
	f := cmd.Flags()
	base.addFlags(f)
	f.StringVarP(&o.container, "container", "c", "", "container, where the pod has several")
	f.BoolVarP(&o.stdin, "stdin", "i", false, "pass the standard input to the command")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing but what the command prints")
	return cmd
}

func (o *execOptions) run(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("pod or type/name must be specified")
	}
	command := args[1:]
	if len(command) == 0 {
		return errors.New("you must specify at least one command for the container")
	}
	if cmd.ArgsLenAtDash() != 1 {
		return errors.New("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
	}
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	pod, err := s.podFor(args[0])
	if err != nil {
		return err
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return fmt.Errorf("cannot exec into a container in a completed pod; current phase is %s", pod.Status.Phase)
	}
	container, err := s.containerFor(pod, o.container, o.quiet)
	if err != nil {
		return err
	}
	r, err := s.lookup("pods")
	if err != nil {
		return err
	}
	err = o.attach(s, r.Path(pod.Namespace, pod.Name, "exec"), container, command)
	if status, ok := client.ExitStatus(err); ok && err != nil {
		text := fmt.Sprintf("command terminated with exit code %d", status)
		if o.quiet {
			text = ""
		}
		return &exitError{status: status, text: text}
	}
	return err
}

// attach connects the user's terminal or streams with the command.
func (o *execOptions) attach(s *session, path, container string, command []string) error {
	streams := remotecommand.StreamOptions{Stdout: s.cmd.OutOrStdout(), Stderr: s.cmd.ErrOrStderr()}
	if o.stdin {
		streams.Stdin = s.cmd.InOrStdin()
	}
	terminal, isTerminal := terminalOf(streams.Stdin)
	if o.tty && !isTerminal {
		s.note("Unable to use a TTY - input is not a terminal or the right kind of file")
		o.tty = false
	}
	if o.tty {
		streams.Tty, streams.Stderr = true, nil // a terminal has one output
		restore, err := raw(terminal)
		if err != nil {
			return err
		}
		defer restore()
		sizes := newSizeQueue(s.ctx(), terminal)
		defer sizes.stop()
		streams.TerminalSizeQueue = sizes
	}
	query := url.Values{"container": {container}, "command": command}
	for name, on := range map[string]bool{"stdin": o.stdin, "stdout": true, "stderr": streams.Stderr != nil, "tty": o.tty} {
		query.Set(name, strconv.FormatBool(on))
	}
	return s.Exec(s.ctx(), path, query, streams)
}

func terminalOf(in io.Reader) (int, bool) {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	return int(file.Fd()), true
}

// raw passes each key on as it is typed, until restore is called.
func raw(terminal int) (restore func(), err error) {
	state, err := term.MakeRaw(terminal)
	if err != nil {
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	return func() { _ = term.Restore(terminal, state) }, nil
}

// sizeQueue hands out the size of the terminal, at first and after each change.
type sizeQueue struct {
	ctx      context.Context
	terminal int
	changed  chan os.Signal
	stop     func()
}

func newSizeQueue(ctx context.Context, terminal int) *sizeQueue {
	ctx, cancel := context.WithCancel(ctx)
	q := &sizeQueue{ctx: ctx, terminal: terminal, changed: make(chan os.Signal, 1)}
	q.changed <- syscall.SIGWINCH // the size at first
	signal.Notify(q.changed, syscall.SIGWINCH)
	q.stop = func() {
		signal.Stop(q.changed)
		cancel()
	}
	return q
}

// Next waits for a change; nil ends the session's changes.
func (q *sizeQueue) Next() *remotecommand.TerminalSize {
	for {
		select {
		case <-q.ctx.Done():
			return nil
		case <-q.changed:
		}
		width, height, err := term.GetSize(q.terminal)
		if err == nil && width > 0 && height > 0 {
			return &remotecommand.TerminalSize{Width: uint16(width), Height: uint16(height)} //nolint:gosec // characters of a screen
		}
	}
}
