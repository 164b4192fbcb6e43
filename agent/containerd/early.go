package containerd

import (
	"context"
	"os"
	"os/exec"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/shim"
)

// startShim starts the shim of a new group while its first container is made: it takes some 15 ms until it answers. containerd,
// which looks for a shim at the group's socket before it starts one, finds it there. What fails is left to containerd, which
// then does all of it. The shim ends with this process, and when its group is let go, unless it has a container by then. r.mu is
// held: no other container is below it yet, so containerd is not about to start it.
func (r *Runtime) startShim(ctx context.Context, group string) {
	e, ok := r.containerd.(*embedded)
	if !ok {
		return // the machine's own does not say where it looks
	}
	early, err := r.tryStartShim(ctx, e.socketDir, group)
	if err != nil {
		r.log.Debug("a shim was not started early", "group", group, "err", err)
		return
	}
	r.group(group).early = early
}

func (r *Runtime) tryStartShim(ctx context.Context, socketDir, group string) (early *os.File, err error) {
	address, err := shim.CreateSocketAddress(ctx, socketDir, r.cfg.Address, group, false)
	if err != nil {
		return nil, err
	}
	listener, err := shim.NewSocket(address)
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	defer func() {
		_ = listener.Close()
		if err != nil {
			_ = shim.RemoveSocket(address)
		}
	}()
	socket, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	stdin, early, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = stdin.Close() }()
	// As containerd does it, but for standard input.
	cmd := exec.Command(r.programs.shim, "-namespace", Namespace, "-id", group, "-address", r.cfg.Address) //nolint:gosec // covey's own
	cmd.Dir = r.cfg.State
	cmd.Env = append(os.Environ(), "GOMAXPROCS=4", "TTRPC_ADDRESS="+ttrpcAddress(r.cfg))
	cmd.Stdin, cmd.ExtraFiles = stdin, []*os.File{socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = early.Close()
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // for as long as this process lives: no zombie is to be left
	return early, nil
}

// letGo ends the shims that were started early and have had no container.
func (r *Runtime) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		g.letGo()
	}
}

// awaitShims takes the ends of shims that this process has started before it started itself again.
func awaitShims(bin string) {
	for _, pid := range running(bin) {
		if p, err := os.FindProcess(pid); err == nil {
			go func() { _, _ = p.Wait() }() // which returns at once where it is no child
		}
	}
}
