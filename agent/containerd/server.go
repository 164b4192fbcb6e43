package containerd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// embedded is containerd as it runs in this process.
type embedded struct {
	server    *server.Server
	cancel    context.CancelFunc // ends what its plugins do in the background
	client    *client.Client
	state     string
	socketDir string
}

// clientPlugin makes, from inside containerd, a client that needs no socket. containerd's registry of plugins belongs to
// the process, so the client of each start is handed out by this variable, under startMu.
var (
	startMu      sync.Mutex
	startClient  *client.Client
	registerOnce sync.Once
)

func registerPlugins() {
	registerSystemMounts()
	registry.Register(&plugin.Registration{
		Type: plugins.InternalPlugin,
		ID:   "covey-client",
		Requires: []plugin.Type{
			plugins.EventPlugin, plugins.LeasePlugin, plugins.SandboxStorePlugin, plugins.TransferPlugin,
			plugins.MountManagerPlugin, plugins.ServicePlugin,
		},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			c, err := client.New("", client.WithInMemoryServices(ic), client.WithDefaultNamespace(Namespace))
			startClient = c
			return c, err
		},
	})
}

// startContainerd starts containerd and serves its sockets until stop.
func startContainerd(ctx context.Context, cfg Config) (*embedded, error) {
	startMu.Lock()
	defer startMu.Unlock()
	registerOnce.Do(registerPlugins)
	conf, socketDir := serverConfig(cfg)
	sweepSockets(socketDir)
	if err := server.CreateTopLevelDirectories(conf); err != nil {
		return nil, fmt.Errorf("make containerd's folders: %w", err)
	}
	if err := repairDatabases(ctx, cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s, err := server.New(ctx, conf)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start containerd in %s: %w", cfg.Root, err)
	}
	if err := s.Start(ctx); err != nil {
		cancel()
		s.Stop()
		return nil, fmt.Errorf("serve containerd's socket %s: %w", cfg.Address, err)
	}
	return &embedded{server: s, cancel: cancel, client: startClient, state: cfg.State, socketDir: socketDir}, nil
}

const (
	// shimLoadTime is how long a shim has, when containerd starts, to answer for one of its containers before it is taken for dead and
	// the container is killed: by default 5 s, in which one that lives may not answer on a busy machine. A dead one, whose socket
	// refuses, is found out at once. For one that is stopped the start waits as long with each of its containers, with as many at a
	// time as there are cores; hence it is not a minute.
	shimLoadTime = 20 * time.Second
	// taskStateTime is how long a shim has to say what a container does, by default 2 s. It does not while runc starts or kills the
	// container, so it has as long as a step of runc's.
	taskStateTime = time.Minute
)

func serverConfig(cfg Config) (conf *srvconfig.Config, socketDir string) {
	socketDir = shimSocketDir(cfg.State)
	return &srvconfig.Config{
		Version: 3,
		Root:    cfg.Root,
		State:   cfg.State,
		// Their metrics would go to a registry of the process that nobody reads, and can be made only once in it.
		DisabledPlugins: []string{"io.containerd.metrics.v1.grpc-prometheus", "io.containerd.metrics.v1.grpc-otel"},
		RequiredPlugins: []string{
			metadataPlugin, "io.containerd.runtime.v2.task", "io.containerd.internal.v1.covey-client",
		},
		Timeouts: map[string]string{
			"io.containerd.timeout.shim.load":  shimLoadTime.String(),
			"io.containerd.timeout.task.state": taskStateTime.String(),
		},
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc":  map[string]any{"address": cfg.Address},
			"io.containerd.server.v1.ttrpc": map[string]any{"address": ttrpcAddress(cfg)},
			"io.containerd.shim.v1.manager": map[string]any{"socket_dir": socketDir},
			// How much of the time garbage may be collected, by which also an idle containerd looks whether there is any: of
			// the 5 ms that it reckons with at least, every 5 s. By default that is four times a second.
			"io.containerd.gc.v1.scheduler": map[string]any{"pause_threshold": 0.001},
			// Or the files of an image that was unpacked shortly before a power cut are empty, while the database has it as unpacked.
			"io.containerd.service.v1.diff-service": map[string]any{"sync_fs": true},
		},
	}, socketDir
}

// ttrpcAddress is where shims tell what happens.
func ttrpcAddress(cfg Config) string { return cfg.Address + ".ttrpc" }

// shimSocketDir is a folder for the shims' sockets, with the state if its path is short enough: with the 64 digits of a
// socket's name it must fit into the 108 bytes of an address.
func shimSocketDir(state string) string {
	const longest = 42
	if dir := filepath.Join(state, "s"); len(dir) <= longest {
		return dir
	}
	sum := sha256.Sum256([]byte(state))
	return fmt.Sprintf("/run/covey-%x/s", sum[:4])
}

// sweepSockets removes the sockets of shims that were killed, or that covey was killed while it started.
func sweepSockets(dir string) {
	entries, _ := os.ReadDir(dir) // it may not be there yet
	for _, e := range entries {
		socket := filepath.Join(dir, e.Name())
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(socket)
		}
	}
}

// stop ends containerd. Shims and their containers stay.
func (e *embedded) stop() {
	quietLogs()
	e.cancel()
	e.server.Stop()
	_ = e.client.Close()
	// Empty ones only; the sockets in it belong to shims that run on.
	if os.Remove(e.socketDir) == nil && filepath.Dir(e.socketDir) != e.state {
		_ = os.Remove(filepath.Dir(e.socketDir))
	}
}
