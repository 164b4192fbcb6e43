package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A PID namespace lives as long as its first process: the containers of a pod that shares one come and go, so something else
// has to be that process. It sleeps, and has the kernel reap what is left to it. A program of some bytes does, where any in
// Go would cost each pod more memory than all else that covey adds to it.

// machines are the programs by architecture: ignore SIGCHLD (then children leave no zombies), and pause for ever.
var machines = map[string]struct {
	elf  uint16 // e_machine
	code []byte
}{
	"amd64": {elf: 62, code: []byte{
		0xbf, 0x11, 0x00, 0x00, 0x00, // mov edi, SIGCHLD
		0x48, 0x8d, 0x35, 0x18, 0x00, 0x00, 0x00, // lea rsi, [rip+action]
		0x31, 0xd2, // xor edx, edx
		0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // mov r10d, 8
		0xb8, 0x0d, 0x00, 0x00, 0x00, // mov eax, rt_sigaction
		0x0f, 0x05, // syscall
		0xb8, 0x22, 0x00, 0x00, 0x00, // again: mov eax, pause
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp again
	}},
	"arm64": {elf: 183, code: words(
		0xd2800220, // mov x0, SIGCHLD
		0x10000181, // adr x1, action
		0xd2800002, // mov x2, 0
		0xd2800103, // mov x3, 8
		0xd28010c8, // mov x8, rt_sigaction
		0xd4000001, // svc 0
		0xd2800000, // again: mov x0, 0
		0xd2800001, // mov x1, 0
		0xd2800002, // mov x2, 0
		0xd2800003, // mov x3, 0
		0xd2800928, // mov x8, ppoll
		0xd4000001, // svc 0
		0x17fffffa, // b again
	)},
	"riscv64": {elf: 243, code: words(
		0x01100513,             // li a0, SIGCHLD
		0x00000597, 0x03458593, // la a1, action
		0x00000613, // li a2, 0
		0x00800693, // li a3, 8
		0x08600893, // li a7, rt_sigaction
		0x00000073, // ecall
		0x00000513, // again: li a0, 0
		0x00000593, // li a1, 0
		0x00000613, // li a2, 0
		0x00000693, // li a3, 0
		0x04900893, // li a7, ppoll
		0x00000073, // ecall
		0xfe9ff06f, // j again
	)},
}

func words(list ...uint32) []byte {
	var b []byte
	for _, w := range list {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// program is the smallest ELF file with the machine's code, followed by the action: SIG_IGN, and zeros.
func program(arch string) ([]byte, error) {
	m, ok := machines[arch]
	if !ok {
		return nil, fmt.Errorf("neither shareProcessNamespace nor hostUsers: false is supported on %s", arch)
	}
	const base, headers = 0x400000, 64 + 56
	content := append(bytes.Clone(m.code), make([]byte, 32)...)
	content[len(m.code)] = byte(1) // SIG_IGN
	size := uint64(headers + len(content))
	var b bytes.Buffer
	for _, field := range []any{
		[16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, uint16(2), m.elf, uint32(1), uint64(base + headers), uint64(64), uint64(0),
		uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000), // one segment, read and run
		content,
	} {
		if err := binary.Write(&b, binary.LittleEndian, field); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// pinProcesses makes a PID namespace with a first process that outlives covey, unless there is one.
func pinProcesses(dir string) (path string, err error) {
	path = filepath.Join(dir, "pid")
	if firstProcess(dir) > 0 {
		return path, nil
	}
	if err := unpinProcesses(dir); err != nil {
		return "", err
	}
	pid, err := startFirst(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID})
	if err != nil {
		return "", err
	}
	if err = bind(fmt.Sprintf("/proc/%d/ns/pid", pid), path); err == nil {
		err = os.WriteFile(filepath.Join(dir, "pid.first"), []byte(strconv.Itoa(pid)), 0o600)
		if err == nil {
			return path, nil
		}
	}
	return "", errors.Join(err, end(pid))
}

// startFirst starts the first process of new namespaces.
func startFirst(attr *syscall.SysProcAttr) (pid int, err error) {
	code, err := program(runtime.GOARCH)
	if err != nil {
		return 0, err
	}
	fd, err := unix.MemfdCreate("covey-init", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "covey-init")
	defer func() { _ = file.Close() }()
	if _, err := file.Write(code); err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/fd/3")
	cmd.Args = []string{"covey-init"}
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.ExtraFiles = []*os.File{file}
	attr.Setsid = true
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the first process of new namespaces: %w", err)
	}
	return cmd.Process.Pid, nil
}

// firstProcess is the ID of the process that the pinned PID namespace lives by; 0 when it is gone.
func firstProcess(dir string) int {
	content, err := os.ReadFile(filepath.Join(dir, "pid.first"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(content)))
	var pin, now unix.Stat_t
	if pid <= 0 || unix.Stat(filepath.Join(dir, "pid"), &pin) != nil || unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &now) != nil {
		return 0
	}
	if pin.Ino != now.Ino || pin.Dev != now.Dev {
		return 0 // another process has the number by now
	}
	return pid
}

// unpinProcesses ends the PID namespace and all that is in it. The files go with their directory.
func unpinProcesses(dir string) error {
	if pid := firstProcess(dir); pid > 0 {
		if err := end(pid); err != nil {
			return err
		}
	}
	return unpin(filepath.Join(dir, "pid"))
}

// end kills a process, and takes its end if it is a child of this covey and not of an earlier one.
func end(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil && !errors.Is(err, unix.ECHILD) {
		return err
	}
	return nil
}
