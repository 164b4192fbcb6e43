package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/emptypb"

	"covey.dev/covey/agent"
)

// external is the machine's own containerd, which others start, stop and upgrade.
type external struct{ client *client.Client }

const (
	// oldestMajor and oldestMinor name the first containerd that runs a shim by its path.
	oldestMajor, oldestMinor = 1, 6
	connectTimeout           = 10 * time.Second
	// labelOwner is on covey's namespace: the state directory of the covey that uses it.
	labelOwner = "covey.dev/state-dir"
	// topicSubscribed is of events by which covey finds that it hears events.
	topicSubscribed = "/covey/subscribed"
)

// connect reaches the containerd at cfg.Containerd.
func connect(ctx context.Context, cfg Config) (*external, error) {
	c, err := client.New(cfg.Containerd, client.WithDefaultNamespace(Namespace), client.WithTimeout(connectTimeout))
	if err != nil {
		return nil, fmt.Errorf("reach containerd at %s: %w", cfg.Containerd, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	version, err := c.Version(ctx)
	if err != nil {
		err = fmt.Errorf("reach containerd at %s (does it run?): %w", cfg.Containerd, err)
	} else if err = checkVersion(version.Version); err == nil {
		err = claimNamespace(ctx, c, cfg.State)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	cfg.Logger.Info("using the machine's containerd", "address", cfg.Containerd, "version", version.Version)
	return &external{c}, nil
}

func (e *external) stop() { _ = e.client.Close() }

// checkVersion refuses a containerd that is too old. One with a version of another form is let through: builds from source
// have such.
func checkVersion(version string) error {
	var major, minor int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor); err != nil {
		return nil
	}
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("the machine's containerd is version %s: covey needs %d.%d or newer", version, oldestMajor, oldestMinor)
	}
	return nil
}

// claimNamespace makes covey's namespace, or refuses one that another covey uses: each would end the other's containers.
func claimNamespace(ctx context.Context, c *client.Client, state string) error {
	service := c.NamespaceService()
	err := service.Create(ctx, Namespace, map[string]string{labelOwner: state})
	if !errdefs.IsAlreadyExists(err) {
		return err
	}
	labels, err := service.Labels(ctx, Namespace)
	if err != nil {
		return err
	}
	switch owner := labels[labelOwner]; owner {
	case state:
		return nil
	case "":
		return service.SetLabel(ctx, Namespace, labelOwner, state)
	default:
		return fmt.Errorf("containerd's namespace %s belongs to the covey with the state directory %s, this one's is %s; where that one is gone for good: ctr namespaces label %s %s=",
			Namespace, filepath.Dir(owner), filepath.Dir(state), Namespace, labelOwner)
	}
}

// overlayUsable asks the machine's containerd about its overlayfs.
func overlayUsable(ctx context.Context, c *client.Client) error {
	found, err := c.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1,id==overlayfs")
	if err != nil {
		return err
	}
	if len(found.Plugins) == 0 {
		return errors.New("it has no overlayfs snapshotter")
	}
	if failed := found.Plugins[0].InitErr; failed != nil {
		return errors.New(failed.Message)
	}
	return nil
}

// awaitEvents returns when events are heard: the machine's containerd answers a subscription before it has made it.
func (r *Runtime) awaitEvents(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		if err := r.client.EventService().Publish(ctx, topicSubscribed, &emptypb.Empty{}); err != nil {
			return fmt.Errorf("publish an event: %w", err)
		}
		if heard, err := r.hear(ctx, wait); heard || err != nil {
			return err
		}
	}
}

// hear takes events until the one that awaitEvents publishes.
func (r *Runtime) hear(ctx context.Context, wait time.Duration) (heard bool, err error) {
	timeout := time.After(wait)
	for {
		select {
		case event := <-r.events:
			if event.Topic == topicSubscribed {
				return true, nil
			}
			r.handle(event)
		case err := <-r.eventErrs:
			return false, fmt.Errorf("subscribe to events: %w", err)
		case <-timeout:
			return false, nil
		case <-ctx.Done():
			return false, fmt.Errorf("no event was heard: %w", ctx.Err())
		}
	}
}

// rejoin waits for the machine's containerd to serve again, and learns what became of the containers meanwhile.
func (r *Runtime) rejoin(ctx context.Context) {
	for {
		err := r.tryRejoin(ctx)
		if err == nil {
			r.log.Info("the machine's containerd serves again")
			return
		}
		r.log.Debug("the machine's containerd does not serve", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (r *Runtime) tryRejoin(ctx context.Context) error {
	if _, err := r.client.Version(ctx); err != nil {
		return err
	}
	r.cancelWatch()
	r.subscribe(ctx)
	if err := r.awaitEvents(r.in(ctx)); err != nil {
		return err
	}
	return r.catchUp(r.in(ctx))
}

// catchUp records the containers that ended while nobody told.
func (r *Runtime) catchUp(ctx context.Context) error {
	all, err := r.List(ctx)
	if err != nil {
		return err
	}
	for _, known := range all {
		if known.State != agent.StateRunning {
			continue
		}
		ended, over, err := r.endOf(ctx, known.ID)
		if err != nil {
			return fmt.Errorf("container %s: %w", known.ID, err)
		}
		r.mu.Lock()
		rec, ok := r.records[known.ID]
		r.mu.Unlock()
		if over && ok {
			r.finish(ctx, rec, ended)
		}
	}
	return nil
}

// endOf is how a container ended, if it did.
func (r *Runtime) endOf(ctx context.Context, id string) (_ exit, over bool, err error) {
	rec, _ := r.lookup(id)
	c, err := r.client.LoadContainer(ctx, id)
	if isNotFound(err) {
		r.forget(&rec)
		return exit{}, false, nil
	}
	if err != nil {
		return exit{}, false, err
	}
	task, err := c.Task(ctx, nil)
	var status client.Status
	if err == nil {
		status, err = task.Status(ctx)
	}
	switch {
	case isNotFound(err):
		return r.notedExit(id), true, nil
	case err != nil:
		return exit{}, false, err
	}
	return exit{FinishedAt: status.ExitTime, Code: int32(status.ExitStatus)}, status.Status == client.Stopped, nil
}

// keepTo refuses to change from one containerd to another while containers of the one run: they would go on beside those
// that the other is told to run. A reboot ends them, and the note in the state folder with them.
func keepTo(cfg Config) error {
	note := filepath.Join(cfg.State, "used")
	content, err := os.ReadFile(note)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	before := string(content)
	if before == cfg.Containerd {
		return nil
	}
	running, err := os.ReadDir(filepath.Join(cfg.State, "notes"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(running) > 0 {
		return fmt.Errorf("%d containers are left on %s: delete their pods before %s is used, or reboot", len(running), naming(before), naming(cfg.Containerd))
	}
	if cfg.Containerd == "" {
		return os.Remove(note)
	}
	if err := os.MkdirAll(cfg.State, 0o711); err != nil {
		return err
	}
	return os.WriteFile(note, []byte(cfg.Containerd), 0o600)
}

func naming(address string) string {
	if address == "" {
		return "the containerd inside covey"
	}
	return "the containerd at " + address
}
