package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"covey.dev/covey/agent"
)

// daemon is a containerd that is not covey's.
type daemon struct {
	address string
	command func() *exec.Cmd
	process *exec.Cmd
	said    *bytes.Buffer
}

// eachContainerd runs a test on the containerd that Debian packages, which has the shims' old protocol, and on one of
// covey's own version.
func eachContainerd(t *testing.T, test func(t *testing.T, serve func(*testing.T, *testMachine))) {
	t.Run("debian", func(t *testing.T) {
		program, err := exec.LookPath("containerd")
		if err != nil {
			t.Skip("containerd is not installed: make deps")
		}
		test(t, func(t *testing.T, m *testMachine) {
			config := filepath.Join(m.dir, "containerd.toml")
			m.serve(t, func() *exec.Cmd { return exec.Command(program, "--config", config) })
		})
	})
	t.Run("current", func(t *testing.T) {
		test(t, func(t *testing.T, m *testMachine) {
			m.serve(t, func() *exec.Cmd {
				cmd := exec.Command("/proc/self/exe")
				cmd.Env = append(os.Environ(), "COVEY_TEST_CONTAINERD="+m.dir)
				return cmd
			})
		})
	})
}

// serve starts a containerd for the machine, which ends with the test.
func (m *testMachine) serve(t *testing.T, command func() *exec.Cmd) {
	t.Helper()
	d := &daemon{address: filepath.Join(m.dir, "c", "containerd.sock"), command: command}
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
address = %q
[timeouts]
"io.containerd.timeout.shim.load" = "1m"
"io.containerd.timeout.task.state" = "1m"
`, filepath.Join(m.dir, "croot"), filepath.Join(m.dir, "c"), d.address)
	if err := os.WriteFile(filepath.Join(m.dir, "containerd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m.daemon = d
	d.start(t)
}

// serveContainerd is a containerd of covey's version, in a process of its own.
func serveContainerd(dir string) error {
	routeLogs(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	_, err := startContainerd(context.Background(), Config{
		Root: filepath.Join(dir, "croot"), State: filepath.Join(dir, "c"), Address: filepath.Join(dir, "c", "containerd.sock"),
	})
	if err != nil {
		return err
	}
	select {}
}

func (d *daemon) start(t *testing.T) {
	t.Helper()
	d.process, d.said = d.command(), &bytes.Buffer{}
	d.process.Stdout, d.process.Stderr = d.said, d.said
	if err := d.process.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "containerd serves", func() bool {
		conn, err := net.Dial("unix", d.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// stop ends it as a package's upgrade does. Shims go on.
func (d *daemon) stop(t testing.TB) {
	if d == nil || d.process == nil {
		return
	}
	if err := d.process.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = d.process.Wait() // killed
	if t.Failed() {
		t.Logf("containerd said:\n%s", d.said)
	}
	d.process = nil
}

// TestTheMachinesContainerdRestarts kills containerd below covey: containers go on, and what ended meanwhile is known.
func TestTheMachinesContainerdRestarts(t *testing.T) {
	needRoot(t)
	eachContainerd(t, func(t *testing.T, serve func(*testing.T, *testMachine)) {
		m := newMachine(t)
		serve(t, m)
		r := m.openLoaded(t)
		defer remove(t, r, "tick", "mortal")
		for _, id := range []string{"tick", "mortal"} {
			if err := errors.Join(r.Create(t.Context(), m.spec(id, "tick")), r.Start(t.Context(), id)); err != nil {
				t.Fatal(err)
			}
			eventually(t, id+" ticks", func() bool { return len(lines(t, filepath.Join(m.dir, id+".log"))) > 0 })
		}
		pid := find(t, r, "tick").Pid
		m.daemon.stop(t)
		if err := syscall.Kill(find(t, r, "mortal").Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		seen := len(lines(t, filepath.Join(m.dir, "tick.log")))
		eventually(t, "the container goes on", func() bool { return len(lines(t, filepath.Join(m.dir, "tick.log"))) > seen })
		m.daemon.start(t)
		eventually(t, "the exit is known", func() bool { return find(t, r, "mortal").State == agent.StateExited })
		if c := find(t, r, "mortal"); c.ExitCode != 143 {
			t.Errorf("it ended with %+v", c)
		}
		if c := find(t, r, "tick"); c.State != agent.StateRunning || c.Pid != pid {
			t.Errorf("the one that runs: %+v", c)
		}
		if err := r.Signal(t.Context(), "tick", syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		eventually(t, "events are heard again", func() bool { return find(t, r, "tick").State == agent.StateExited })
		checkCounted(t, lines(t, filepath.Join(m.dir, "tick.log")))
	})
}

// TestTwoCoveysOnOneContainerd has the second one refused, which would end the first one's containers.
func TestTwoCoveysOnOneContainerd(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	m.serve(t, func() *exec.Cmd {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "COVEY_TEST_CONTAINERD="+m.dir)
		return cmd
	})
	m.open(t)
	second := m.config(t)
	second.State = filepath.Join(m.dir, "t")
	if _, err := Open(t.Context(), second); err == nil || !strings.Contains(err.Error(), "belongs to the covey with the state directory "+m.dir) {
		t.Errorf("the second one got %v", err)
	}
}

// TestContainerdIsChanged has a containerd changed for another below a container: it is refused until the container is gone.
func TestContainerdIsChanged(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	m.serve(t, func() *exec.Cmd {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "COVEY_TEST_CONTAINERD="+m.dir)
		return cmd
	})
	machines := m.daemon
	change := func(to *daemon, want string) {
		t.Helper()
		m.close(t)
		m.daemon = to
		if _, err := Open(t.Context(), m.config(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("changed below a container: %v, want %q", err, want)
		}
	}
	for _, to := range []struct {
		daemon *daemon
		want   string
	}{{nil, "on the containerd at " + machines.address}, {machines, "on the containerd inside covey"}} {
		r := m.openLoaded(t)
		if err := errors.Join(r.Create(t.Context(), m.spec("one", "sleep")), r.Start(t.Context(), "one")); err != nil {
			t.Fatal(err)
		}
		now := m.daemon
		change(to.daemon, to.want)
		m.daemon = now
		remove(t, m.open(t), "one")
		m.close(t)
		m.daemon = to.daemon
	}
	m.open(t)
	m.daemon = machines
}

func TestNoContainerdAtTheAddress(t *testing.T) {
	for address, want := range map[string]string{
		filepath.Join(t.TempDir(), "c.sock"): "does it run?",
		"containerd.sock":                    "not the absolute path of a socket",
	} {
		cfg := Config{Containerd: address, Root: t.TempDir(), State: t.TempDir(), bootID: "boot"}
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"1.5.18": false, "v1.4.0": false, "1.6.20~ds1": true, "v1.7.29": true, "2.4.2+unknown": true, "v2.0.0-rc.1": true, "devel": true,
	} {
		if err := checkVersion(version); (err == nil) != ok {
			t.Errorf("%s: %v", version, err)
		}
	}
}
