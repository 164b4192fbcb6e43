package harness

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Result is what a command printed and how it ended.
type Result struct {
	Stdout, Stderr string
	Code           int // its exit status; -1 if it was ended
}

// Output is what it printed, errors last.
func (r Result) Output() string { return r.Stdout + r.Stderr }

// Kubectl runs the real kubectl as the node's administrator, and fails the test if kubectl fails. It returns what was
// printed to standard output.
func (n *Node) Kubectl(args ...string) string {
	n.t.Helper()
	return n.must(n.TryKubectl(args...), "kubectl", args)
}

// Covey runs a covey command in the same way.
func (n *Node) Covey(args ...string) string {
	n.t.Helper()
	return n.must(n.TryCovey(args...), "covey", args)
}

// TryKubectl runs kubectl and gives its result, whatever it is.
func (n *Node) TryKubectl(args ...string) Result { return n.run("", "kubectl", args) }

// TryCovey runs covey and gives its result, whatever it is.
func (n *Node) TryCovey(args ...string) Result { return n.run("", "covey", args) }

// Apply gives a manifest to kubectl apply -f -.
func (n *Node) Apply(manifest string, args ...string) string {
	n.t.Helper()
	args = append([]string{"apply", "-f", "-"}, args...)
	return n.must(n.Pipe(manifest, "kubectl", args...), "kubectl", args)
}

// Pipe runs kubectl or covey with standard input and gives its result.
func (n *Node) Pipe(stdin, program string, args ...string) Result { return n.run(stdin, program, args) }

func (n *Node) must(r Result, program string, args []string) string {
	n.t.Helper()
	if r.Code != 0 {
		n.t.Fatalf("%s %s: exit status %d\n%s", program, strings.Join(args, " "), r.Code, r.Output())
	}
	return r.Stdout
}

func (n *Node) run(stdin, program string, args []string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := n.command(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := n.net.enter(cmd.Run)
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Code, r.Stderr = -1, r.Stderr+err.Error()
	}
	if ctx.Err() != nil {
		r.Stderr += "\n(ended after " + (2 * patience).String() + ")"
	}
	return r
}

func (n *Node) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(program) {
		program = Bin(program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+n.Kubeconfig(), "HOME="+n.Dir, "KUBECTL_EXPLAIN_OPENAPIV3=true", "TERM=dumb")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = patience // only what outlives the command keeps its output open
	return cmd
}

// Kubeconfig is the administrator's, as covey wrote it: on a worker, which has none, that of the first server. The address in it
// is 127.0.0.1, so that each node asks itself.
func (n *Node) Kubeconfig() string {
	if n.server != nil {
		return n.server.Kubeconfig()
	}
	return filepath.Join(n.DataDir, "admin.kubeconfig")
}

// File writes a file into the test's directory and returns its path.
func (n *Node) File(name, content string) string {
	n.t.Helper()
	path := filepath.Join(n.Dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *Node) loadImages(names ...string) {
	n.t.Helper()
	for _, name := range names {
		n.Covey("image", "load", "--node", n.name, Bin(name))
	}
}

// Following is a command that goes on printing, such as kubectl get -w.
type Following struct {
	node  *Node
	what  string
	lines chan string
	seen  []string
	stop  context.CancelFunc
	done  chan struct{}
}

// Follow starts kubectl, covey or a program named by its path, and leaves it running, until the test ends or Stop.
func (n *Node) Follow(program string, args ...string) *Following {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := n.command(ctx, program, args...)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := n.net.start(cmd); err != nil {
		cancel()
		n.t.Fatalf("start %s: %v", program, err)
	}
	f := &Following{node: n, what: program + " " + strings.Join(args, " "), lines: make(chan string, 4096), stop: cancel, done: make(chan struct{})}
	go func() { _ = w.CloseWithError(errors.Join(cmd.Wait(), io.EOF)) }()
	go func() {
		defer close(f.done)
		defer close(f.lines)
		for line := range lines(r) {
			select {
			case f.lines <- line:
			case <-ctx.Done():
			}
		}
	}()
	n.t.Cleanup(f.Stop)
	return f
}

// Until waits for a line that has all of the parts and returns it.
func (f *Following) Until(parts ...string) string {
	f.node.t.Helper()
	return f.UntilFunc(strings.Join(parts, " and "), func(line string) bool {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				return false
			}
		}
		return true
	})
}

// UntilFunc waits for a line that is what the test waits for, and returns it.
func (f *Following) UntilFunc(what string, is func(line string) bool) string {
	f.node.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				f.node.t.Fatalf("%s ended before it printed %s; it printed:\n%s", f.what, what, f.Seen())
			}
			f.seen = append(f.seen, line)
			if is(line) {
				return line
			}
		case <-timeout:
			f.node.t.Fatalf("%s did not print %s within %v; it printed:\n%s", f.what, what, patience, f.Seen())
		}
	}
}

// End waits until the command ends by itself.
func (f *Following) End() {
	f.node.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				return
			}
			f.seen = append(f.seen, line)
		case <-timeout:
			f.node.t.Fatalf("%s did not end within %v; it printed:\n%s", f.what, patience, f.Seen())
		}
	}
}

// Seen is all that was read so far.
func (f *Following) Seen() string { return strings.Join(f.seen, "\n") }

// Stop ends the command.
func (f *Following) Stop() {
	f.stop()
	<-f.done
}
