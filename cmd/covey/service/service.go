package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Where things are put.
const (
	Program    = "/usr/local/bin/covey"
	ConfigFile = "/etc/covey/config.yaml"
	LogFile    = "/var/log/covey.log" // with OpenRC; systemd has its journal
)

// ErrNoInit says that the machine's init system is none that covey knows.
var ErrNoInit = errors.New("neither systemd nor OpenRC runs this machine: have its init system run \"" + Program + " start\", restart it when it ends, and end that process only")

// Init is an init system.
type Init struct {
	Name   string
	Cgroup string // that the service ran in and shims are in still, where the init system leaves it; empty: it does not

	file  string                               // of covey's service
	mode  fs.FileMode                          // of that file
	text  func(program, dataDir string) string // what is in it
	start [][]string                           // commands that enable and (re)start the service
	stop  [][]string                           // commands that stop and disable it
	links string                               // pattern of what enables the service, to be removed
	after [][]string                           // commands once the file is gone
	last  []string                             // command after that, which may fail
	said  []string                             // command that shows what covey itself said last, where start waits until the node is ready
	run   func(context.Context, []string) error
	ask   func(context.Context, []string) string
}

func systemd() *Init {
	return &Init{
		Name: "systemd", file: "/etc/systemd/system/covey.service", mode: 0o644, text: unit, run: command, ask: answer,
		start: [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "enable", "--quiet", "covey"}, {"systemctl", "restart", "covey"}},
		stop:  [][]string{{"systemctl", "disable", "--quiet", "--now", "covey"}},
		after: [][]string{{"systemctl", "daemon-reload"}},
		last:  []string{"systemctl", "reset-failed", "covey.service"}, // which fails where it has not failed before
		said:  []string{"journalctl", "--quiet", "--no-pager", "--boot", "--output=cat", "--lines=3", "_SYSTEMD_UNIT=covey.service"},
	}
}

func openRC() *Init {
	return &Init{
		Name: "OpenRC", Cgroup: "/covey", file: "/etc/init.d/covey", mode: 0o755, text: script, run: command, ask: answer,
		start: [][]string{{"rc-update", "--quiet", "add", "covey", "default"}, {"rc-service", "covey", "restart"}},
		stop:  [][]string{{"rc-service", "--ifstarted", "covey", "stop"}},
		links: "/etc/runlevels/*/covey", // rc-update fails where there is none
	}
}

// Detect finds the init system that runs this machine.
func Detect() (*Init, error) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return systemd(), nil
	}
	if _, err := os.Stat("/run/openrc"); err == nil {
		return openRC(), nil
	}
	return nil, ErrNoInit
}

// slow is how long a start takes until it is said what covey has said, and after how long that is looked at again.
const slow = 15 * time.Second

// Start puts the service of the node in dataDir in place and starts it anew; with systemd it returns when the node is ready. While that
// takes long, as with an address that nobody answers at, it says on out why.
func (i *Init) Start(ctx context.Context, dataDir string, out io.Writer) error {
	if err := Write(i.file, []byte(i.text(Program, dataDir)), i.mode); err != nil {
		return err
	}
	if len(i.said) == 0 {
		return i.all(ctx, i.start)
	}
	err := i.await(ctx, out)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w%s", err, i.saying(ctx))
}

// await starts the service, and says what covey says, where that is news, until it is ready or ctx ends.
func (i *Init) await(ctx context.Context, out io.Writer) error {
	done := make(chan error, 1)
	go func() { done <- i.all(ctx, i.start) }()
	told := ""
	tell := func(beginning string) {
		if text := beginning + i.saying(context.WithoutCancel(ctx)); text != told {
			fmt.Fprintln(out, text)
			told = text
		}
	}
	for {
		select {
		case <-time.After(slow):
			tell("The node is not ready yet. The service goes on trying, also without this command.")
		case err := <-done:
			if ctx.Err() != nil {
				tell("The node is not ready. The service goes on trying: covey uninstall ends it.")
			}
			return err
		}
	}
}

// saying is what covey itself said last, to be put after another text.
func (i *Init) saying(ctx context.Context) string {
	text := i.ask(ctx, i.said)
	if text == "" {
		return ""
	}
	return "\nWhat covey said last:\n" + text
}

// Stop stops the service and takes it away. Containers go on. One that was never installed is no error.
func (i *Init) Stop(ctx context.Context) error {
	if _, err := os.Stat(i.file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := i.all(ctx, i.stop); err != nil {
		return err
	}
	links, _ := filepath.Glob(i.links) // the pattern is right
	for _, file := range append(links, i.file) {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if err := i.all(ctx, i.after); err != nil {
		return err
	}
	if len(i.last) > 0 {
		_ = i.run(ctx, i.last)
	}
	return nil
}

func (i *Init) all(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		if err := i.run(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, words []string) error {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// answer is what a command prints; nothing where it fails.
func answer(ctx context.Context, words []string) string {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output() //nolint:gosec // one of those above
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(out))
}

// Write puts a file in place as a whole or not at all.
func Write(file string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.Rename(temporary.Name(), file)
}
