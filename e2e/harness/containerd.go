package harness

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Containerd is a containerd as a machine has it without covey: Debian's, with folders of its own.
type Containerd struct {
	Address string

	t       T
	dir     string
	process *exec.Cmd
	said    bytes.Buffer
}

// StartContainerd runs one until the test's nodes are gone, and fails the test for what they left with it.
func StartContainerd(t T) *Containerd {
	t.Helper()
	dir, err := os.MkdirTemp("", "cd")
	if err != nil {
		t.Fatal(err)
	}
	c := &Containerd{Address: filepath.Join(dir, "s", "containerd.sock"), t: t, dir: dir}
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		filepath.Join(dir, "d"), filepath.Join(dir, "s"), c.Address)
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.cleanUp)
	c.Start()
	return c
}

// Start starts it and returns when it serves.
func (c *Containerd) Start() {
	c.t.Helper()
	c.process = exec.Command("containerd", "--config", filepath.Join(c.dir, "config.toml"))
	c.process.Stdout, c.process.Stderr = &c.said, &c.said
	if err := c.process.Start(); err != nil {
		c.t.Fatalf("%v: run the tests with make e2e", err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", c.Address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			c.Kill()
			c.t.Fatalf("containerd does not serve: %v\n%s", err, c.said.String())
		}
	}
}

// Kill ends it with kill -9.
func (c *Containerd) Kill() {
	if c.process != nil {
		_ = c.process.Process.Kill()
		_ = c.process.Wait()
		c.process = nil
	}
}

func (c *Containerd) cleanUp() {
	c.Kill()
	if c.t.Failed() {
		c.t.Logf("containerd said:\n%s", c.said.String())
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		c.t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, c.dir+"/") {
			c.t.Errorf("left behind with containerd: mount %s", line)
		}
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Errorf("remove containerd's directory: %v", err)
	}
}
