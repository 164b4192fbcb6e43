package vm

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"covey.dev/covey/e2e/harness"
)

var software = []string{"-accel", "tcg,thread=multi"}

// accelerator is KVM where a kernel says something under it: some machines have a KVM that starts and hangs.
var accelerator = sync.OnceValue(func() []string {
	hardware := []string{"-accel", "kvm"}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return software
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var console bytes.Buffer
	probe := exec.CommandContext(ctx, "qemu-system-x86_64", append([]string{
		"-M", "q35", "-cpu", "max", "-m", "256", "-nic", "none", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
		"-kernel", filepath.Join(harness.Repository(), "bin/vm/kernel"), "-append", "console=ttyS0 panic=-1",
	}, hardware...)...)
	probe.Stdout = &console
	_ = probe.Run() // without a root file system it ends in a panic
	if bytes.Contains(console.Bytes(), []byte("Kernel panic")) {
		return hardware
	}
	return software
})
