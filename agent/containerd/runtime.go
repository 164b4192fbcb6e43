package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/output"
)

// Namespace is containerd's namespace in which covey keeps its containers and images.
const Namespace = "covey"

// Config says where containerd keeps its things. Paths are absolute; Root and State must be given.
type Config struct {
	Root    string // what lasts: images, snapshots, its database
	State   string // what a reboot ends; its folder must be gone after one, as below /run
	Bin     string // the programs are unpacked below it; "": bin beside Root
	Address string // of the socket that nerdctl and ctr are served at; "": containerd.sock in State
	// Containerd is the address of the socket of the machine's own containerd, which is then used; "": one in this process.
	Containerd string
	HostDir    string // hosts.toml files of registries, need not exist; "": certs.d beside Root

	PullTimeout time.Duration // a pull fails after receiving nothing for so long; 0: 5 minutes
	StepTimeout time.Duration // a step of runc's, such as making or killing a container, fails then; 0: 1 minute

	LogMaxBytes int64 // of one log file; 0: 10 MiB
	LogMaxFiles int   // 0: 5
	PodsPerShim int   // at most; 0: 32
	Logger      *slog.Logger

	bootID    string // tests reboot by setting it
	diskSpace func(dir string) (free, total uint64, err error)
}

// Runtime is agent.Runtime on containerd. Its methods may be called from Open on, until Run has returned.
type Runtime struct {
	cfg         Config
	log         *slog.Logger
	programs    programs
	containerd  interface{ stop() } // what runs in this process, or the connection to what does not
	client      *client.Client
	snapshotter string

	events      <-chan *events.Envelope
	eventErrs   <-chan error
	cancelWatch context.CancelFunc

	mu       sync.Mutex
	records  map[string]*record // every container of covey's, by ID
	watchers map[*watcher]struct{}
	groups   map[string]*shimGroup
	hung     map[string]bool // UIDs of pods that runc hung with
	exits    sync.WaitGroup

	forgetting sync.Mutex // held while a container is forgotten
	hastening  sync.Mutex // held while moves to cgroups are hastened

	naming sync.Mutex // of the file of images' names
	parts  *partLeases
}

var _ agent.Runtime = (*Runtime)(nil)

// record is what is remembered of one container, guarded by Runtime.mu.
type record struct {
	agent.Container
	shimGroup string
	task      taskState
	cgroup    string
	boot      string // the boot ID of the machine when it was created
	// ended is an exit that was told before Start had returned.
	ended *exit
	oom   bool
}

// taskState is what a shim has for a container.
type taskState int

const (
	noTask       taskState = iota
	taskChanging           // it is being made or deleted
	taskThere              // the container runs, waits to be started, or has ended
)

// Open starts containerd and finds the containers that run already. Run must follow: it ends what Open began.
func Open(ctx context.Context, cfg Config) (*Runtime, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	programs, err := unpackPrograms(cfg.Bin)
	if err != nil {
		return nil, err
	}
	if err := keepTo(cfg); err != nil {
		return nil, fmt.Errorf("choose containerd: %w", err)
	}
	routeLogs(cfg.Logger)
	awaitShims(cfg.Bin)
	r := &Runtime{
		cfg: cfg, log: cfg.Logger, programs: programs,
		records: map[string]*record{}, watchers: map[*watcher]struct{}{}, groups: map[string]*shimGroup{}, hung: map[string]bool{},
		parts: newPartLeases(),
	}
	if err := r.attach(ctx); err != nil {
		return nil, err
	}
	if err := r.finishRebuild(r.in(ctx)); err != nil {
		r.containerd.stop()
		return nil, fmt.Errorf("make containerd's database anew: %w", err)
	}
	// Before the containers are looked at, so that no exit falls between.
	r.subscribe(context.WithoutCancel(ctx))
	if cfg.Containerd != "" {
		err = r.awaitEvents(r.in(ctx))
	}
	if err == nil {
		err = r.load(r.in(ctx))
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("find running containers: %w", err)
	}
	r.noteNames(r.in(ctx))
	return r, nil
}

// attach starts containerd or connects to the machine's own.
func (r *Runtime) attach(ctx context.Context) error {
	var overlay error
	if r.cfg.Containerd != "" {
		e, err := connect(ctx, r.cfg)
		if err != nil {
			return err
		}
		r.containerd, r.client = e, e.client
		overlay = overlayUsable(r.in(ctx), r.client)
	} else {
		e, err := startContainerd(ctx, r.cfg)
		if err != nil {
			return err
		}
		r.containerd, r.client = e, e.client
		overlay = overlayutils.Supported(r.cfg.Root)
	}
	r.snapshotter = "overlayfs"
	if overlay != nil {
		r.log.Warn("overlayfs is not usable: images are copied for each container", "err", overlay)
		r.snapshotter = "native"
	}
	return nil
}

// subscribe begins to hear of what happens to containers.
func (r *Runtime) subscribe(ctx context.Context) {
	ctx, r.cancelWatch = context.WithCancel(r.in(ctx))
	r.events, r.eventErrs = r.client.Subscribe(ctx, `namespace==`+Namespace)
}

// complete fills in what was left out.
func (c *Config) complete() error {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.diskSpace == nil {
		c.diskSpace = diskSpace
	}
	c.PodsPerShim = cmp.Or(max(c.PodsPerShim, 0), 32)
	c.PullTimeout = cmp.Or(c.PullTimeout, 5*time.Minute)
	c.StepTimeout = cmp.Or(c.StepTimeout, time.Minute)
	c.Bin = cmp.Or(c.Bin, filepath.Join(filepath.Dir(c.Root), "bin"))
	c.HostDir = cmp.Or(c.HostDir, filepath.Join(filepath.Dir(c.Root), "certs.d"))
	c.Address = cmp.Or(c.Address, filepath.Join(c.State, "containerd.sock"))
	c.Containerd = strings.TrimPrefix(c.Containerd, "unix://")
	if c.Containerd != "" && !filepath.IsAbs(c.Containerd) {
		return fmt.Errorf("containerd's address %q is not the absolute path of a socket, such as /run/containerd/containerd.sock", c.Containerd)
	}
	for _, path := range []string{c.Root, c.State, c.Bin, c.HostDir, c.Address} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("containerd's folder %q is not an absolute path", path)
		}
	}
	if c.bootID != "" {
		return nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("read the machine's boot ID: %w", err)
	}
	c.bootID = strings.TrimSpace(string(boot))
	return nil
}

// Run follows what happens to containers until ctx ends, and then stops containerd. Containers go on.
func (r *Runtime) Run(ctx context.Context) error {
	defer r.close()
	tidying, stop := context.WithCancel(ctx)
	var tidy sync.WaitGroup
	tidy.Go(func() { r.keepPartsTidy(tidying) })
	defer tidy.Wait()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-r.events:
			r.handle(event)
		case err := <-r.eventErrs:
			if ctx.Err() != nil {
				return nil
			}
			if r.cfg.Containerd == "" {
				return fmt.Errorf("containerd's events ended: %w", err)
			}
			r.log.Warn("the machine's containerd has gone away; containers go on", "address", r.cfg.Containerd, "err", err)
			r.rejoin(ctx)
		}
	}
}

// close waits for exits that are being recorded, while containerd still serves, and stops it then.
func (r *Runtime) close() {
	r.cancelWatch()
	r.letGo()
	r.exits.Wait()
	r.noteNames(r.in(context.Background()))
	r.containerd.stop()
}

// in is the context for calls to containerd.
func (r *Runtime) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

// List implements agent.Runtime from memory.
func (r *Runtime) List(context.Context) ([]agent.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]agent.Container, 0, len(r.records))
	for _, id := range slices.Sorted(maps.Keys(r.records)) {
		if r.records[id].State != creating {
			list = append(list, r.records[id].Container)
		}
	}
	return list, nil
}

// lookup finds a container's record and gives a copy of what it says now.
func (r *Runtime) lookup(id string) (record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.records[id]
	if !ok {
		return record{}, false
	}
	return *rec, true
}

// load finds the containers that were made before this process began.
func (r *Runtime) load(ctx context.Context) error {
	if err := r.openLeases(ctx); err != nil {
		return err
	}
	all, err := r.client.Containers(ctx)
	if err != nil {
		return err
	}
	inUse := map[string]bool{filepath.Dir(r.programs.shim): true}
	for _, c := range all {
		info, err := c.Info(ctx, client.WithoutRefreshedMetadata)
		if err != nil {
			return err
		}
		inUse[filepath.Dir(info.Runtime.Name)] = true
		if !ours(info) {
			continue
		}
		rec := recordFrom(info)
		if err := r.loadState(ctx, c, rec, info.Labels[labelExit]); err != nil {
			return fmt.Errorf("container %s: %w", info.ID, err)
		}
		r.records[info.ID] = rec
	}
	return r.dropOldPrograms(inUse)
}

// loadState finds out what a container made by an earlier process does now.
func (r *Runtime) loadState(ctx context.Context, c client.Container, rec *record, exitLabel string) error {
	rec.StartedAt = r.startedAt(rec.ID)
	task, err := c.Task(ctx, nil)
	if err == nil {
		rec.task = taskThere
	}
	if e, ok := parseExit(exitLabel); ok {
		rec.apply(e)
		return nil
	}
	var status client.Status
	if err == nil {
		status, err = task.Status(ctx)
	}
	switch {
	case isNotFound(err) && rec.StartedAt.IsZero() && rec.boot == r.cfg.bootID:
		return nil // created, and not started
	case isNotFound(err):
		r.finish(ctx, rec, r.notedExit(rec.ID))
		return nil
	case err != nil:
		return err
	}
	switch status.Status {
	case client.Created:
		if pid := int(task.Pid()); !rec.StartedAt.IsZero() && begun(pid) {
			rec.State, rec.Pid = agent.StateRunning, pid
			_ = os.Remove(filepath.Join(r.cfg.State, "runc", Namespace, rec.ID, "exec.fifo")) // by which runc takes it for created
			return nil
		}
		rec.StartedAt = time.Time{}
	case client.Stopped:
		r.finish(ctx, rec, exit{FinishedAt: status.ExitTime, Code: int32(status.ExitStatus)})
	default:
		rec.State, rec.Pid = agent.StateRunning, int(task.Pid())
	}
	return nil
}

// begun says that a container's first process is the container's program, not runc waiting to become it. Where covey was killed
// while runc started it, the shim does not know, and runc would wait for ever to start it again.
func begun(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(line) > 0 && !strings.HasSuffix(string(line), "runc\x00init\x00")
}

// notedExit is how a container ended that containerd knows no more of, as its shim noted it.
func (r *Runtime) notedExit(id string) exit {
	note, err := output.ReadExit(r.exitFile(id))
	if err != nil {
		r.log.Warn("how a container ended is not known", "container", id, "err", err)
		return exit{FinishedAt: time.Now(), Code: 255}
	}
	return exit{FinishedAt: note.FinishedAt, Code: note.Code, OOMKilled: note.OOMKills > 0}
}

// dropOldPrograms removes programs unpacked by another version that no container uses.
func (r *Runtime) dropOldPrograms(inUse map[string]bool) error {
	dirs, err := filepath.Glob(filepath.Join(r.cfg.Bin, "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(r.programs.shim))); err == nil && !inUse[dir] {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}
