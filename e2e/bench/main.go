// Command bench measures covey beside its peers and prints Markdown: what docs/benchmarks.md shows. It starts its own nodes
// in a temporary directory and a network namespace of its own, and needs root, what make builds into bin, and for the
// comparison Debian's etcd.
//
//	go run ./bench [-only node,pods,writes,api,cluster,members,faults] [-runs 5] [-idle 60s] [-faults 50m]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	bin  string        // the folder of what make built
	dir  string        // for everything that is written
	runs int           // of each measurement; the median counts
	idle time.Duration // how long an idle node is looked at
	load time.Duration // how long each load lasts
	pods int           // of the many

	faults time.Duration // how long there are random faults
}

// section is one table.
type section struct {
	name  string
	run   func(context.Context, options) error
	asked bool // made only if it is named
}

var sections = []section{
	{"node", measureNode, false},
	{"pods", measurePods, false},
	{"writes", measureWrites, false},
	{"api", measureAPI, false},
	{"cluster", measureCluster, false},
	{"members", measureMembers, true},
	{"faults", measureFaults, true},
}

func main() {
	opts := options{dir: os.TempDir(), load: 4 * time.Second}
	only := flag.String("only", "", "the tables to make, by `name` (node, pods, writes, api, cluster, members, faults), separated by commas; all but the last two if empty")
	flag.StringVar(&opts.bin, "bin", "../bin", "the `folder` that make builds into")
	flag.StringVar(&opts.dir, "dir", opts.dir, "the `folder` whose disk is measured")
	flag.IntVar(&opts.runs, "runs", 5, "how often each is measured; the median counts")
	flag.DurationVar(&opts.idle, "idle", time.Minute, "how long an idle node is looked at")
	flag.DurationVar(&opts.faults, "faults", 50*time.Minute, "how long there are random faults, twenty or so a minute")
	flag.IntVar(&opts.pods, "pods", 50, "how many pods are many")
	flag.Parse()
	if os.Getenv(inNamespace) == "" {
		os.Exit(enterNamespace())
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v: %s", err, out)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, opts, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, opts options, only string) error {
	dir, err := os.MkdirTemp(opts.dir, "cvb") // short, for the paths of sockets
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	opts.dir = dir
	chosen := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, s := range sections {
		if named := slices.Contains(chosen, s.name); !named && (len(chosen) > 0 || s.asked) {
			continue
		}
		if err := s.run(ctx, opts); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// inNamespace is set in the process that has a network namespace of its own.
const inNamespace = "COVEY_BENCH_IN_NAMESPACE"

// enterNamespace runs this program again in a new network namespace, where no port is taken and nothing stays behind.
func enterNamespace() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	signal.Ignore(syscall.SIGINT) // the child gets it too, and cleans up
	if err := cmd.Run(); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return exit.ExitCode()
		}
		fmt.Fprintln(os.Stderr, "bench: start in a network namespace (needs root):", err)
		return 1
	}
	return 0
}
