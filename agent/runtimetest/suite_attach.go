package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"covey.dev/covey/agent"
)

// seen is what an attached client has been shown.
type seen struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *seen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// attach attaches in the background; the channel gives the error.
func (m *machine) attach(ctx context.Context, id string, spec *agent.AttachSpec) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- m.Runtime.Attach(ctx, id, spec) }()
	return ended
}

func testAttachInput(t *testing.T, m *machine) {
	spec := m.spec("cat")
	spec.Stdin = true
	id := m.run(spec)
	m.reopen() // who attaches need not be the one that started it
	var other seen
	begin, begun := io.Pipe()
	defer func() { _ = begun.Close() }()
	otherEnded := m.attach(t.Context(), id, &agent.AttachSpec{Stdin: begin, Stdout: &other})
	if _, err := io.WriteString(begun, "begun\n"); err != nil {
		t.Fatal(err)
	}
	m.eventually("it is attached", func() bool { return other.String() == "begun\n" })
	for _, word := range []string{"first", "second"} {
		var out seen
		from, to := io.Pipe()
		ended := m.attach(t.Context(), id, &agent.AttachSpec{Stdin: from, Stdout: &out})
		if _, err := io.WriteString(to, word+"\n"); err != nil {
			t.Fatal(err)
		}
		m.eventually("its word comes back", func() bool { return out.String() == word+"\n" })
		_ = to.Close()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", word, err)
		}
		if c, _ := m.get(id); c.State != agent.StateRunning {
			t.Errorf("after its client left: %+v", c)
		}
	}
	m.eventually("who looks on sees what others cause", func() bool { return other.String() == "begun\nfirst\nsecond\n" })
	m.eventually("it is in the log too", func() bool { return m.log(spec) == "stdout F begun\nstdout F first\nstdout F second\n" })
	if err := m.Runtime.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := <-otherEnded; err != nil {
		t.Errorf("who looked on: %v", err)
	}
	if err := m.Runtime.Attach(t.Context(), id, &agent.AttachSpec{}); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("to no container: %v", err)
	}
	ended := m.run(m.spec("exit", "0"))
	m.exited(ended)
	if err := m.Runtime.Attach(t.Context(), ended, &agent.AttachSpec{}); !errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("to one that ended: %v", err)
	}
}

func testAttachOnce(t *testing.T, m *machine) {
	spec := m.spec("cat")
	spec.Stdin, spec.StdinOnce = true, true
	id := m.run(spec)
	input := strings.Repeat("0123456789abcdef", 20_000)
	var out bytes.Buffer
	if err := m.Runtime.Attach(t.Context(), id, &agent.AttachSpec{Stdin: strings.NewReader(input), Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if out.String() != input {
		t.Errorf("%d bytes came back, want %d", out.Len(), len(input))
	}
	if c := m.exited(id); c.ExitCode != 0 {
		t.Errorf("after the end of its input: %+v", c)
	}
}

func testAttachTerminal(t *testing.T, m *machine) {
	spec := m.spec("tty", "size")
	spec.TTY, spec.Stdin = true, true
	id := m.run(spec)
	resize := make(chan agent.TerminalSize, 1)
	resize <- agent.TerminalSize{Width: 80, Height: 24}
	var out bytes.Buffer
	if err := m.Runtime.Attach(t.Context(), id, &agent.AttachSpec{Stdout: &out, Resize: resize}); err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(out.String()) != "80x24" {
		t.Errorf("%q", out.String())
	}
}

func testAttachCancelled(t *testing.T, m *machine) {
	id := m.run(m.spec("tick"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out seen
	ended := m.attach(ctx, id, &agent.AttachSpec{Stdout: &out})
	m.eventually("it shows what is printed", func() bool { return strings.Count(out.String(), "\n") > 3 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("an attachment whose context ended: %v", err)
	}
	if c, _ := m.get(id); c.State != agent.StateRunning {
		t.Errorf("its container: %+v", c)
	}
}
