package vm

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

const (
	bootTime    = 8 * time.Minute // without hardware help on a busy machine; a quarter of a minute is usual
	commandTime = 8 * time.Minute
	memoryMiB   = 768
)

// Machine is a virtual machine.
type Machine struct {
	t       *testing.T
	name    string
	number  int      // from 1 on
	net     *Network // nil for none
	clock   string   // what it says at each boot; empty: what this machine's says
	init    string   // what the kernel starts first, as a kernel parameter; empty: systemd
	dir     string
	qemu    *exec.Cmd
	ended   chan struct{} // closed when qemu has
	shell   net.Conn
	answers *bufio.Reader
	asked   int
}

// New makes a machine with empty disks; Boot starts it. Below /tools it has covey, images, and further programs of bin/.
func New(t *testing.T, number int, network *Network, programs ...string) *Machine {
	t.Helper()
	m := &Machine{t: t, name: fmt.Sprintf("vm%d", number), number: number, net: network, dir: t.TempDir()}
	m.host("cp", "--sparse=always", filepath.Join(harness.Repository(), "bin/vm/root.img"), m.file("root.img"))
	m.host("truncate", "-s", "4G", m.file("data.img"))
	tools := m.file("tools")
	m.host("mkdir", tools)
	for _, name := range append([]string{"covey", "busybox.tar", "hello.tar"}, programs...) {
		m.host("cp", harness.Bin(name), tools)
	}
	m.host("mke2fs", "-q", "-t", "ext4", "-d", tools, m.file("tools.img"), "300M")
	m.host("rm", "-r", tools)
	if network != nil {
		network.connect(m)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", m.name, m.console())
		}
		m.PowerCut()
	})
	return m
}

// WithoutClock makes it a machine that begins each time in 1970.
func (m *Machine) WithoutClock() { m.clock = "1970-01-01T01:00:00" }

// WithOpenRC makes it a machine that OpenRC runs, and no systemd.
func (m *Machine) WithOpenRC() { m.init = " init=/sbin/openrc-init" }

// Address is the machine's address on its network.
func (m *Machine) Address() string { return fmt.Sprintf("10.98.0.%d", m.number) }

// Boot starts the machine and waits for its shell.
func (m *Machine) Boot() {
	m.t.Helper()
	// Whether the timer ticks is not checked: on a busy machine it ticks too late for the kernel.
	kernel := fmt.Sprintf("console=ttyS0 root=/dev/vda rw panic=-1 tsc=unstable no_timer_check machine.name=%s machine.address=%s/24%s", m.name, m.Address(), m.init)
	bin := filepath.Join(harness.Repository(), "bin/vm")
	_ = os.Remove(m.file("shell"))
	args := []string{
		"-M", "q35", "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(memoryMiB), "-no-reboot", "-display", "none", "-monitor", "none",
		"-kernel", filepath.Join(bin, "kernel"), "-initrd", filepath.Join(bin, "initrd"), "-append", kernel,
		"-serial", "file:" + m.file("console"), "-serial", "unix:" + m.file("shell") + ",server,wait=off",
		"-device", "virtio-rng-pci",
	}
	if m.clock != "" {
		args = append(args, "-rtc", "base="+m.clock)
	}
	for _, disk := range []string{"root.img", "tools.img", "data.img"} {
		args = append(args, "-drive", "if=virtio,format=raw,file="+m.file(disk))
	}
	if m.net != nil {
		args = append(args, m.net.plug(m)...)
	} else {
		args = append(args, "-nic", "none")
	}
	m.qemu = exec.Command("qemu-system-x86_64", append(args, accelerator()...)...)
	m.qemu.Stderr = os.Stderr
	if err := m.qemu.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.ended = make(chan struct{})
	go func(qemu *exec.Cmd, ended chan<- struct{}) {
		_ = qemu.Wait()
		close(ended)
	}(m.qemu, m.ended)
	m.connect()
	m.Eventually("findmnt /tools && findmnt /var/lib/covey", always) // the shell may be there first
}

// connect waits for the shell behind the second serial port.
func (m *Machine) connect() {
	m.t.Helper()
	deadline := time.Now().Add(bootTime)
	for time.Now().Before(deadline) {
		conn, err := net.Dial("unix", m.file("shell"))
		if err != nil {
			m.mustRun(100 * time.Millisecond)
			continue
		}
		m.shell, m.answers = conn, bufio.NewReader(conn)
		// What is written before the shell reads may be lost in parts, so it is asked, in one line, until it answers.
		for time.Now().Before(deadline) {
			if _, _, err := m.answer("\necho", 2*time.Second); err == nil {
				return
			}
			m.mustRun(0)
		}
	}
	m.t.Fatalf("%s did not boot within %v:\n%s", m.name, bootTime, m.console())
}

// mustRun waits for so long, and fails the test when the machine has ended.
func (m *Machine) mustRun(wait time.Duration) {
	m.t.Helper()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.ended:
		m.t.Fatalf("%s ended while it booted:\n%s", m.name, m.console())
	}
}

// Run runs a command line on the machine, which has to succeed, and gives its output.
func (m *Machine) Run(command string) string {
	m.t.Helper()
	out, status := m.Try(command)
	if status != 0 {
		m.t.Fatalf("%s: %s: exit status %d\n%s", m.name, command, status, out)
	}
	return out
}

// Write makes a file on the machine. The text has no line END.
func (m *Machine) Write(file, text string) {
	m.t.Helper()
	m.Run("cat > " + file + " <<'END'\n" + text + "\nEND")
}

// Try runs a command line on the machine and gives its output and exit status.
func (m *Machine) Try(command string) (string, int) {
	m.t.Helper()
	out, status, err := m.ask(command, commandTime)
	if err != nil {
		m.t.Fatalf("%s: %s: %v\n%s", m.name, command, err, out)
	}
	return out, status
}

func (m *Machine) ask(command string, within time.Duration) (out string, status int, err error) {
	return m.answer("( "+command+"\n) </dev/null 2>&1; echo", within)
}

// answer sends what ends in an echo and reads up to what that says.
func (m *Machine) answer(command string, within time.Duration) (out string, status int, err error) {
	m.asked++
	mark := fmt.Sprintf("answer-%d-of-%s", m.asked, m.name)
	if err := m.shell.SetDeadline(time.Now().Add(within)); err != nil {
		return "", 0, err
	}
	// The mark is written otherwise than it is said, lest it is found where a terminal echoes the command; and without
	// quotes, lest a command of which the first part was lost leaves one open.
	if _, err := fmt.Fprintf(m.shell, "%s %s\\%s $?\n", command, mark[:3], mark[3:]); err != nil {
		return "", 0, err
	}
	var all strings.Builder
	for {
		line, err := m.answers.ReadString('\n')
		if before, code, ok := strings.Cut(line, mark); ok && err == nil {
			all.WriteString(before)
			status, err = strconv.Atoi(strings.TrimSpace(code))
			return all.String(), status, err
		}
		all.WriteString(line)
		if err != nil {
			return all.String(), 0, err
		}
	}
}

// Eventually repeats a command line until it succeeds and its output is as wanted.
func (m *Machine) Eventually(command string, wanted func(out string) bool) string {
	m.t.Helper()
	var out string
	for deadline := time.Now().Add(commandTime); ; time.Sleep(200 * time.Millisecond) {
		var status int
		if out, status = m.Try(command); status == 0 && wanted(out) {
			return out
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %s: not as wanted within %v:\n%s", m.name, command, commandTime, out)
		}
	}
}

func always(string) bool { return true }

// PowerCut ends the machine as a pulled plug does: what it has not flushed to its disks is lost.
func (m *Machine) PowerCut() {
	if m.qemu == nil {
		return
	}
	_ = m.qemu.Process.Kill()
	<-m.ended
	if m.shell != nil {
		_ = m.shell.Close()
	}
	m.qemu, m.shell = nil, nil
}

func (m *Machine) file(name string) string { return filepath.Join(m.dir, name) }

func (m *Machine) host(program string, args ...string) {
	m.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// console is the end of what the kernel and the init system said.
func (m *Machine) console() string {
	const most = 8 << 10
	said, _ := os.ReadFile(m.file("console"))
	return string(said[max(0, len(said)-most):])
}
