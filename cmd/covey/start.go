package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"covey.dev/covey/agent/containerd"
	"covey.dev/covey/cmd/covey/service"
	"covey.dev/covey/node"
)

// startOptions are the flags of covey start, each also read from COVEY_... and the configuration file.
type startOptions struct {
	dataDir, stateDir   string
	listen, advertise   string
	overlay             string
	nodeName            string
	containerd          string
	labels              map[string]string
	join                []string
	token               string
	voters              int
	witness             bool
	worker              bool
	logLevel, logFormat string
	configFile          string
	registryConfig      string
	logMaxSize          string
	logMaxFiles         int
	unsafeSysctls       []string
	podMaxPids          int64
	auditLog            string
	auditPolicy         string
	auditMaxSize        string
	maxPods             int
	housekeeping        node.Housekeeping
}

func newStartCommand() *cobra.Command {
	var o startOptions
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a node: the API, the scheduler and this machine's pods",
		Long: `Run a node: the API, the scheduler and this machine's pods.

Containers outlive covey: they go on when it stops, and the next start takes them up again.
Each flag can also be set as an environment variable (--data-dir as COVEY_DATA_DIR) or in the
configuration file (data-dir: ...). A flag wins over the environment, the environment over the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settle(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, service.Stopping)
			return o.run(ctx, cmd)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *startOptions) addFlags(f *pflag.FlagSet) {
	hostname, _ := os.Hostname()
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/covey", "what must survive a reboot: state, keys, images, logs")
	f.StringVar(&o.stateDir, "state-dir", "/run/covey", "what may go with a reboot: sockets, mounts, namespaces")
	f.StringVar(&o.listen, "listen", "0.0.0.0:7443", "address and port to serve on")
	f.StringVar(&o.advertise, "advertise", "", "address that others reach this node at (default: all that the machine has, the one of its default route first)")
	f.StringVar(&o.overlay, "overlay", "vxlan", "how pods reach those of nodes that share no link with this one: vxlan, none, or wireguard, which encrypts what goes to any other node and is to be on all (UDP port 7444)")
	f.StringVar(&o.nodeName, "node-name", node.NameFromHost(hostname), "name of this node in the cluster")
	f.StringVar(&o.containerd, "containerd", "", "address of the machine's own containerd to run pods on, such as /run/containerd/containerd.sock (default: one inside covey)")
	f.StringToStringVar(&o.labels, "label", nil, "label of this node, key=value; may be repeated")
	f.StringVar(&o.registryConfig, "registry-config", "/etc/covey/certs.d", "what is known of registries: NAME/hosts.toml (as containerd reads it) for mirrors and certificates, config.json (as docker writes it) for credentials")
	f.StringVar(&o.logMaxSize, "container-log-max-size", "10Mi", "size at which a container's log file is rotated")
	f.IntVar(&o.logMaxFiles, "container-log-max-files", 5, "how many log files a container has at most, with the one that is written to")
	f.IntVar(&o.maxPods, "max-pods", node.DefaultMaxPods, "how many pods the node takes; the size of its pod network follows from it when the node is first started")
	f.Int64Var(&o.podMaxPids, "pod-max-pids", 0, "how many processes a pod may have (default: no limit)")
	f.StringSliceVar(&o.unsafeSysctls, "allowed-unsafe-sysctls", nil, "kernel parameters that pods may set beside the safe ones, such as net.core.somaxconn,kernel.msg*")
	f.StringSliceVar(&o.join, "join", nil, "host:port of a node whose cluster to join, the first time; may be repeated")
	f.StringVar(&o.token, "token", "", "what lets this node join: the output of covey token create there")
	f.BoolVar(&o.witness, "witness", false, "vote and keep the state, and run no pods: the third of a cluster with two servers, on any small machine; joins with --join and --token")
	f.IntVar(&o.voters, "voters", 0, "how many servers vote while this one leads, an odd number (default: 3, or 5 of 7 and more); give all servers the same")
	f.BoolVar(&o.worker, "worker", false, "hold no copy of the state: servers tell this node what to run (needs --join the first time)")
	f.StringVar(&o.auditLog, "audit-log", "", "file to write the API's audit log to, in Kubernetes' format; - is the standard output (default: none is kept)")
	f.StringVar(&o.auditPolicy, "audit-policy", "", "file with a Policy of audit.k8s.io/v1 (default: of each request all but the bodies)")
	f.StringVar(&o.auditMaxSize, "audit-log-max-size", "32Mi", "size at which the audit log is rotated")
	h := &o.housekeeping
	f.StringVar(&h.EvictionHard, "eviction-hard", "", "what the node must have left, or pods are evicted at once: memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5% (the defaults, which hold for what is not named; 0 is none), pid.available")
	f.StringVar(&h.EvictionSoft, "eviction-soft", "", "the same, for what may be so for a while: memory.available<200Mi")
	f.StringVar(&h.EvictionSoftGrace, "eviction-soft-grace-period", "", "for how long: memory.available=1m30s")
	f.DurationVar(&h.EvictionTransition, "eviction-pressure-transition-period", 5*time.Minute, "how long the node says that it is short of something after it was seen last")
	f.IntVar(&h.ImageGCHigh, "image-gc-high-threshold", 85, "percent of the images' file system in use above which unused images are removed")
	f.IntVar(&h.ImageGCLow, "image-gc-low-threshold", 80, "percent down to which they are removed")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.configFile, "config", defaultConfigFile, "configuration file")
}

func (o *startOptions) run(ctx context.Context, cmd *cobra.Command) error {
	cfg, err := o.config(cmd)
	if err != nil {
		return err
	}
	cfg.HostName = !cmd.Flags().Changed("node-name")
	cfg.Ready = func(r node.Ready) {
		service.Ready()
		go service.KeepAlive(ctx, r.Server)
		if r.Kubeconfig == "" {
			fmt.Fprintf(cmd.OutOrStdout(), "covey is ready on %s, as a worker\n", r.Server)
			return
		}
		fmt.Fprintf(cmd.OutOrStdout(), "covey is ready on %s. Next: export KUBECONFIG=%s && kubectl get nodes\n", r.Server, r.Kubeconfig)
	}
	return ended(cfg.Logger, node.Run(ctx, cfg))
}

// config is what the flags say. Its error tells which of them cannot be meant so.
func (o *startOptions) config(cmd *cobra.Command) (node.Config, error) {
	log, err := newLogger(cmd, o.logLevel, o.logFormat)
	if err != nil {
		return node.Config{}, err
	}
	dataDir, err := directory("data-dir", o.dataDir)
	if err != nil {
		return node.Config{}, err
	}
	stateDir, err := directory("state-dir", o.stateDir)
	if err != nil {
		return node.Config{}, err
	}
	registryConfig, err := directory("registry-config", o.registryConfig)
	if err != nil {
		return node.Config{}, err
	}
	logMaxBytes, err := o.logBytes()
	if err != nil {
		return node.Config{}, err
	}
	auditMaxBytes, err := o.auditBytes()
	if err != nil {
		return node.Config{}, err
	}
	cfg := node.Config{
		DataDir:   dataDir,
		StateDir:  stateDir,
		Listen:    o.listen,
		Advertise: o.advertise,
		Overlay:   o.overlay,
		Name:      o.nodeName,
		Labels:    o.labels,
		Join:      o.join,
		Token:     o.token,
		Voters:    o.voters,
		Witness:   o.witness,
		Worker:    o.worker,
		Version:   version,
		Logger:    log,
		OpenRuntime: func(ctx context.Context, cfg node.RuntimeConfig) (node.Runtime, error) {
			return o.openContainerd(ctx, cfg, logMaxBytes)
		},
		Watchdog:       []string{"/proc/self/exe", fenceCommand},
		UnsafeSysctls:  o.unsafeSysctls,
		PodMaxPids:     o.podMaxPids,
		MaxPods:        o.maxPods,
		RegistryConfig: registryConfig,
		AuditLog:       o.auditLog,
		AuditPolicy:    o.auditPolicy,
		AuditMaxBytes:  auditMaxBytes,
		Housekeeping:   o.housekeeping,
	}
	return cfg, cfg.Validate()
}

// directory is the absolute path of one that a flag names. An empty one, as an unset variable of a script makes it, would be the
// directory that covey happens to be started in.
func directory(flag, path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("--%s: it is empty: want a directory", flag)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("--%s: %w", flag, err)
	}
	return abs, nil
}

// fixed refuses directories that are others for the service than where covey is run by hand.
func (o *startOptions) fixed() error {
	for flag, dir := range map[string]string{"data-dir": o.dataDir, "state-dir": o.stateDir} {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("%s: %s is %q: want an absolute path", service.ConfigFile, flag, dir)
		}
	}
	return nil
}

// ended starts a node again that asks for it, in this process, and gives one that has left its cluster an exit status of its own, after
// which the service is not started again.
func ended(log *slog.Logger, err error) error {
	switch {
	case errors.Is(err, node.ErrAgain):
		program, err := os.Executable()
		if err != nil {
			return err
		}
		log.Info("covey starts again")
		return fmt.Errorf("start again: %w", syscall.Exec(program, os.Args, os.Environ())) //nolint:gosec // this program itself
	case errors.Is(err, node.ErrLeft):
		service.Left()
		return &exitError{status: service.LeftStatus, text: "covey: " + err.Error()}
	}
	return err
}

func (o *startOptions) auditBytes() (int64, error) {
	size, err := resource.ParseQuantity(o.auditMaxSize)
	if err != nil || size.Value() < 64<<10 {
		return 0, fmt.Errorf("--audit-log-max-size %q: want a size of at least 64Ki, such as 32Mi", o.auditMaxSize)
	}
	if o.auditPolicy != "" && o.auditLog == "" {
		return 0, fmt.Errorf("--audit-policy: it says what an audit log keeps; set --audit-log too")
	}
	return size.Value(), nil
}

// logBytes is the size of a log file: many entries must fit.
func (o *startOptions) logBytes() (int64, error) {
	const least = 64 << 10
	size, err := resource.ParseQuantity(o.logMaxSize)
	if err != nil || size.Value() < least {
		return 0, fmt.Errorf("--container-log-max-size %q: want a size of at least 64Ki, such as 10Mi", o.logMaxSize)
	}
	if o.logMaxFiles < 2 {
		return 0, fmt.Errorf("--container-log-max-files %d: want at least 2", o.logMaxFiles)
	}
	return size.Value(), nil
}

// openContainerd makes the real runtime; node knows it by its interface only.
func (o *startOptions) openContainerd(ctx context.Context, cfg node.RuntimeConfig, logMaxBytes int64) (node.Runtime, error) {
	return containerd.Open(ctx, containerd.Config{
		Containerd: o.containerd,

		Root:    filepath.Join(cfg.DataDir, "containerd"),
		State:   filepath.Join(cfg.StateDir, "containerd"),
		Address: filepath.Join(cfg.StateDir, "containerd.sock"),
		Bin:     filepath.Join(cfg.DataDir, "bin"),
		HostDir: cfg.RegistryConfig,

		LogMaxBytes: logMaxBytes,
		LogMaxFiles: o.logMaxFiles,

		Logger: cfg.Logger,
	})
}

func newLogger(cmd *cobra.Command, level, format string) (*slog.Logger, error) {
	var lvl slog.Level
	if err := lvl.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", level)
	}
	opts, out := &slog.HandlerOptions{Level: lvl}, service.Log(cmd.ErrOrStderr())
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(out, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, opts)), nil
	}
	return nil, fmt.Errorf("--log-format: %q is neither text nor json", format)
}
