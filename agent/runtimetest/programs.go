package runtimetest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// builtinPrograms are the programs that the conformance suite runs. The same ones are in imagetest's program; the two
// must agree.
//
//	echo WORD...     prints the words
//	exit N           ends with exit code N
//	sleep [SECONDS]  until SIGTERM (exit code 143) or that time has passed (0)
//	stubborn         prints that it ignores signals, until SIGKILL
//	cat              copies its input to its output
//	err WORD...      prints the words to the standard error stream
//	env              prints the environment, sorted
//	tty              prints whether its output is a terminal; with "size", waits for a size of 80x24
//	tick             prints numbers from 0, each 5 ms, until SIGTERM
//	oom              uses up its memory
func builtinPrograms() map[string]Program {
	return map[string]Program{
		"echo": func(_ context.Context, p *Process) int { return say(p.Stdout, p.Args[1:]) },
		"err":  func(_ context.Context, p *Process) int { return say(p.Stderr, p.Args[1:]) },
		"exit": func(_ context.Context, p *Process) int {
			code, err := strconv.Atoi(p.Args[1])
			if err != nil {
				return 2
			}
			return code
		},
		"sleep": sleep,
		"stubborn": func(ctx context.Context, p *Process) int {
			code := say(p.Stdout, []string{"ignoring signals"})
			<-ctx.Done()
			return code
		},
		"cat": cat,
		"env": func(_ context.Context, p *Process) int {
			// As with a real environment, the last of equal names wins.
			values := map[string]string{}
			for _, e := range p.Env {
				name, _, _ := strings.Cut(e, "=")
				values[name] = e
			}
			var all []string
			for _, e := range values {
				all = append(all, e)
			}
			slices.Sort(all)
			return say(p.Stdout, []string{strings.Join(all, "\n")})
		},
		"tty":  tty,
		"tick": tick,
		"oom":  func(ctx context.Context, p *Process) int { p.OOM(); <-ctx.Done(); return 0 },
	}
}

func say(w io.Writer, words []string) int {
	if _, err := fmt.Fprintln(w, strings.Join(words, " ")); err != nil {
		return 1
	}
	return 0
}

func sleep(ctx context.Context, p *Process) int {
	var over <-chan time.Time
	if len(p.Args) > 1 {
		if s, err := strconv.ParseFloat(p.Args[1], 64); err == nil {
			over = time.After(time.Duration(s * float64(time.Second)))
		}
	}
	for {
		select {
		case sig := <-p.Signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				return 128 + int(sig)
			}
		case <-over:
			return 0
		case <-ctx.Done():
			return 0
		}
	}
}

func tick(ctx context.Context, p *Process) int {
	for i := 0; ; i++ {
		if code := say(p.Stdout, []string{strconv.Itoa(i)}); code != 0 {
			return code
		}
		select {
		case sig := <-p.Signals:
			if sig == syscall.SIGTERM {
				return 128 + int(sig)
			}
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return 0
		}
	}
}

func cat(ctx context.Context, p *Process) int {
	copied := make(chan error, 1)
	go func() { // it ends with its input or, when that never comes, with the test's process
		_, err := io.Copy(p.Stdout, p.Stdin)
		copied <- err
	}()
	select {
	case err := <-copied:
		if err != nil {
			return 1
		}
	case <-ctx.Done():
	}
	return 0
}

func tty(ctx context.Context, p *Process) int {
	if len(p.Args) < 2 {
		return say(p.Stdout, []string{strconv.FormatBool(p.TTY)})
	}
	for {
		select {
		case size := <-p.Resize:
			if size.Width == 80 && size.Height == 24 {
				return say(p.Stdout, []string{"80x24"})
			}
		case <-ctx.Done():
			return 0
		}
	}
}
