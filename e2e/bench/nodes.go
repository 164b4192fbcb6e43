package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// measureNode looks at a node that has nothing to do: its size, its start, and what it costs to leave it running.
func measureNode(ctx context.Context, opts options) error {
	info, err := os.Stat(filepath.Join(opts.bin, "covey"))
	if err != nil {
		return err
	}
	head()
	row("the binary, everything inside", fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), "under 60 MB", "")
	n, err := newNode(ctx, opts, "node")
	if err != nil {
		return err
	}
	defer func() { _ = n.stop() }()
	if err := n.load("hello.tar"); err != nil {
		return err
	}
	if err := n.restart(ctx); err != nil { // an import leaves memory behind that is not the node's
		return err
	}
	if err := sleep(ctx, opts.idle); err != nil {
		return err
	}
	row(fmt.Sprintf("Pss of an idle node without pods, after %v", opts.idle), mib(pss(n.processes()...)), "under 48 MiB",
		"Nomad 93 MB, Docker swarm 124 MB, containerd alone in process 26 MB")
	const probed = 10
	if err := n.deploy(ctx, probedDeployment("probed", probed)); err != nil {
		return err
	}
	if _, err := n.waitPods(ctx, "probed", probed, ready); err != nil {
		return err
	}
	if err := sleep(ctx, 15*time.Second); err != nil { // until the start's memory is given back
		return err
	}
	pids := n.processes()
	used, bytes, begun := cpu(pids...), written(n.pid()), time.Now()
	if err := sleep(ctx, opts.idle); err != nil {
		return err
	}
	took := time.Since(begun)
	share := 100 * (cpu(pids...) - used).Seconds() / took.Seconds()
	row(fmt.Sprintf("CPU of an idle node with %d pods probed every 10 s, shims included, over %v", probed, opts.idle),
		fmt.Sprintf("%.2f %% of a core", share), "under 0.2 %", "without pods: Nomad 0.57 %, Docker swarm 0.83 %")
	row(fmt.Sprintf("bytes written by it in %v", opts.idle), fmt.Sprint(written(n.pid())-bytes), "0", "Nomad 57 kB/min, Docker swarm 0")
	var starts []time.Duration
	for range opts.runs {
		if err := n.restart(ctx); err != nil {
			return err
		}
		starts = append(starts, n.ready)
	}
	row(fmt.Sprintf("start to readyz, %d pods running (median of %d)", probed, opts.runs), ms(median(starts)), "under 300 ms",
		"Nomad 1950 ms, Docker swarm 1030 ms")
	return n.clear(ctx)
}

func (n *node) restart(ctx context.Context) error {
	if err := n.stop(); err != nil {
		return err
	}
	return n.start(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
