package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/agent"
)

func testExec(t *testing.T, m *machine) {
	id := m.run(m.spec("sleep"))
	var stdout, stderr bytes.Buffer
	run := func(command ...string) (int, error) {
		stdout.Reset()
		stderr.Reset()
		return m.Runtime.Exec(t.Context(), id, &agent.ExecSpec{Command: command, Stdout: &stdout, Stderr: &stderr})
	}
	if code, err := run("echo", "hello"); code != 0 || err != nil || stdout.String() != "hello\n" {
		t.Errorf("echo: %d, %v, %q", code, err, stdout.String())
	}
	if code, err := run("err", "oh"); code != 0 || err != nil || stdout.String() != "" || stderr.String() != "oh\n" {
		t.Errorf("err: %d, %v, %q, %q", code, err, stdout.String(), stderr.String())
	}
	if code, err := run("exit", "5"); code != 5 || err != nil {
		t.Errorf("exit 5: %d, %v", code, err)
	}
	if _, err := run("no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a program that is not there: %v", err)
	}
	if code, err := m.Runtime.Exec(t.Context(), id, &agent.ExecSpec{Command: []string{"echo", "unheard"}}); code != 0 || err != nil {
		t.Errorf("without streams: %d, %v", code, err)
	}
	if _, err := m.Runtime.Exec(t.Context(), "none", &agent.ExecSpec{Command: []string{"echo"}}); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("in no container: %v", err)
	}
	ended := m.run(m.spec("exit", "0"))
	m.exited(ended)
	if _, err := m.Runtime.Exec(t.Context(), ended, &agent.ExecSpec{Command: []string{"echo"}}); !errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("in one that ended: %v", err)
	}
}

func testExecInput(t *testing.T, m *machine) {
	id := m.run(m.spec("sleep"))
	for _, size := range []int{0, 5, 3 << 20} {
		input := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		var stdout bytes.Buffer
		code, err := m.Runtime.Exec(t.Context(), id, &agent.ExecSpec{
			Command: []string{"cat"}, Stdin: strings.NewReader(input), Stdout: &stdout,
		})
		if code != 0 || err != nil || stdout.String() != input {
			t.Errorf("%d bytes through cat: %d, %v, %d bytes came back", size, code, err, stdout.Len())
		}
	}
}

func testExecTerminal(t *testing.T, m *machine) {
	id := m.run(m.spec("sleep"))
	resize := make(chan agent.TerminalSize, 1)
	resize <- agent.TerminalSize{Width: 80, Height: 24}
	var stdout bytes.Buffer
	code, err := m.Runtime.Exec(t.Context(), id, &agent.ExecSpec{
		Command: []string{"tty", "size"}, TTY: true, Stdout: &stdout, Resize: resize,
	})
	if code != 0 || err != nil || strings.TrimSpace(stdout.String()) != "80x24" {
		t.Errorf("tty size: %d, %v, %q", code, err, stdout.String())
	}
}

func testExecCancelled(t *testing.T, m *machine) {
	id := m.run(m.spec("sleep"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := m.Runtime.Exec(ctx, id, &agent.ExecSpec{Command: []string{"stubborn"}, Stdout: io.Discard})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an exec whose context ended: %v", err)
	}
	if c, _ := m.get(id); c.State != agent.StateRunning {
		t.Errorf("its container: %+v", c)
	}
}
