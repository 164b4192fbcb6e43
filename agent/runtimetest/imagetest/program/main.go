// Command program is what the containers of runtime tests run: many small programs, told apart by their name. Those that
// the conformance suite uses are described at runtimetest's builtinPrograms, which must agree with them. For tests of
// real containers there are more:
//
//	cat FILE...     prints files
//	write FILE      writes a byte to a file
//	id              prints user, group and groups
//	burst           prints 100,000 numbers after 200 ms and ends with exit code 3
//	spawn           starts a process that ignores SIGTERM, and waits for it
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	os.Exit(run(filepath.Base(os.Args[0]), os.Args[1:]))
}

func run(name string, args []string) int {
	switch name {
	case "echo":
		return say(os.Stdout, args...)
	case "err":
		return say(os.Stderr, args...)
	case "exit":
		code, err := strconv.Atoi(args[0])
		return or(code, err)
	case "sleep":
		return sleep(args)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
		say(os.Stdout, "ignoring signals")
		for { // an empty select would be found to be a deadlock
			time.Sleep(time.Hour)
		}
	case "cat":
		return cat(args)
	case "env":
		all := os.Environ()
		slices.Sort(all)
		return say(os.Stdout, strings.Join(all, "\n"))
	case "tty":
		return tty(args)
	case "tick":
		return tick()
	case "oom":
		return oom()
	case "burst":
		return burst()
	case "write":
		return or(0, os.WriteFile(args[0], []byte("x"), 0o600))
	case "id":
		groups, err := os.Getgroups()
		fmt.Println(os.Getuid(), os.Getgid(), groups)
		return or(0, err)
	case "spawn":
		return or(0, exec.Command("/bin/stubborn").Run())
	}
	return or(2, fmt.Errorf("unknown program %q", name))
}

func or(code int, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func say(w io.Writer, words ...string) int {
	_, err := fmt.Fprintln(w, strings.Join(words, " "))
	return or(0, err)
}

func onTerm() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	return c
}

func code(s os.Signal) int { return 128 + int(s.(syscall.Signal)) }

func sleep(args []string) int {
	var over <-chan time.Time
	if len(args) > 0 {
		if seconds, err := strconv.ParseFloat(args[0], 64); err == nil {
			over = time.After(time.Duration(seconds * float64(time.Second)))
		}
	}
	select {
	case s := <-onTerm():
		return code(s)
	case <-over:
		return 0
	}
}

func tick() int {
	term := onTerm()
	for i := 0; ; i++ {
		fmt.Println(i)
		select {
		case s := <-term:
			return code(s)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func burst() int {
	time.Sleep(200 * time.Millisecond)
	for i := range 100_000 {
		fmt.Println(i)
	}
	return 3
}

func cat(files []string) int {
	if len(files) == 0 {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return or(0, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			return or(1, err)
		}
		if _, err := io.Copy(os.Stdout, bytes.NewReader(content)); err != nil {
			return or(1, err)
		}
	}
	return 0
}

func tty(args []string) int {
	if len(args) == 0 {
		return say(os.Stdout, strconv.FormatBool(term.IsTerminal(1)))
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	for {
		if w, h, err := term.GetSize(1); err == nil && w == 80 && h == 24 {
			return say(os.Stdout, "80x24")
		}
		select {
		case <-resized:
		case <-time.After(10 * time.Second):
			return or(1, fmt.Errorf("the terminal never became 80x24"))
		}
	}
}

func oom() int {
	var held [][]byte
	for {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = 1
		}
		held = append(held, block)
		if len(held) > 4<<10 {
			return or(1, fmt.Errorf("4 GiB were given"))
		}
	}
}
