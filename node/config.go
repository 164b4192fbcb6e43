package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"covey.dev/covey/agent"
	"covey.dev/covey/node/join"
)

// Config is what a node is started with. Directories are absolute.
type Config struct {
	DataDir   string            // what must survive a reboot
	StateDir  string            // what may go with one: sockets, mounts, namespaces
	Listen    string            // host:port
	Advertise string            // the address others reach this node at; empty: all that the machine has
	Overlay   string            // the way to the pods of nodes that share no link with this one: vxlan, none; empty: vxlan
	Name      string            // of the Node object
	HostName  bool              // Name is what the machine is called: a node that has another one keeps that
	Labels    map[string]string // of the Node object
	Join      []string          // host:port of nodes whose cluster to join; empty: begin one
	Token     string            // lets this node join
	Voters    int               // how many servers vote while this one leads; 0: 3, or 5 of 7 and more
	Worker    bool              // hold no state, and be told by servers what to run
	Witness   bool              // vote and keep the state, and run no pods
	Version   string            // of covey
	Logger    *slog.Logger

	UnsafeSysctls []string // kernel parameters that pods may set beside the safe ones
	PodMaxPids    int64    // processes of a pod; 0: no limit
	MaxPods       int      // that the node takes; 0: agent.DefaultMaxPods

	RegistryConfig string // what is known of registries: NAME/hosts.toml for mirrors, config.json for credentials

	AuditLog      string       // file that the audit log is written to; "-" is the standard output, empty for none
	AuditPolicy   string       // file that says how much it keeps; empty: of each request all but the bodies
	AuditMaxBytes int64        // size at which the file is rotated; 0: the default
	Housekeeping  Housekeeping // how full the node may become

	// Watchdog is the command that runs RunWatchdog, for pods that may run at most once in the cluster.
	Watchdog []string
	// OpenRuntime makes the container runtime of this machine.
	OpenRuntime func(context.Context, RuntimeConfig) (Runtime, error)
	// Ready is called once, when the node serves; it may be nil.
	Ready func(Ready)
}

// Housekeeping says how full the node may become.
type Housekeeping = agent.Housekeeping

// Runtime is a container runtime that has something to run while it is in use.
type Runtime interface {
	agent.Runtime
	// Run serves the runtime until ctx ends. Containers go on without it.
	Run(ctx context.Context) error
}

// RuntimeConfig is what a runtime is made with.
type RuntimeConfig struct {
	DataDir, StateDir string
	RegistryConfig    string // holds NAME/hosts.toml for registries
	InstanceID        string // 8 hex digits that tell the things of this node from those of another on the same machine
	Logger            *slog.Logger
}

// Ready says where a node that is ready serves.
type Ready struct {
	Server     string // https://127.0.0.1:7443
	Kubeconfig string // file name; empty on a worker, which has none
}

// DefaultMaxPods is how many pods a node takes that is not told otherwise.
const DefaultMaxPods = agent.DefaultMaxPods

// mostVoters bounds how many servers each write waits for.
const mostVoters = 9

// maxStateDir leaves room for the names of sockets below it: Linux allows a socket's path 107 bytes.
const maxStateDir = 60

// Validate names each setting that cannot be meant as it is.
func (c *Config) Validate() error {
	var errs []error
	if problems := validation.IsDNS1123Subdomain(c.Name); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--node-name %q: %s", c.Name, strings.Join(problems, "; ")))
	}
	for _, problem := range metav1validation.ValidateLabels(c.Labels, field.NewPath("--label")) {
		errs = append(errs, problem)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("--listen %q: want host:port such as 0.0.0.0:7443", c.Listen))
	}
	for _, host := range c.Join {
		if err := checkAddress(host); err != nil {
			errs = append(errs, fmt.Errorf("--join %q: %w", host, err))
		}
	}
	if c.Token != "" {
		if _, err := join.ParseToken(c.Token); err != nil {
			errs = append(errs, fmt.Errorf("--token: %w", err))
		}
	}
	if c.Advertise != "" && net.ParseIP(c.Advertise) == nil {
		errs = append(errs, fmt.Errorf("--advertise %q: want an IP address", c.Advertise))
	}
	if err := agent.ValidateOverlay(c.Overlay); err != nil {
		errs = append(errs, err)
	}
	if len(c.StateDir) > maxStateDir {
		errs = append(errs, fmt.Errorf("--state-dir %q: at most %d bytes, because the path of a socket in it is bounded", c.StateDir, maxStateDir))
	}
	if c.MaxPods < 0 || c.MaxPods > agent.MostPods {
		errs = append(errs, fmt.Errorf("--max-pods %d: want 1 to %d, or 0 for %d", c.MaxPods, agent.MostPods, agent.DefaultMaxPods))
	}
	if c.PodMaxPids < 0 {
		errs = append(errs, fmt.Errorf("--pod-max-pids %d: want a number of processes, or 0 for no limit", c.PodMaxPids))
	}
	if c.Voters < 0 || c.Voters > mostVoters || c.Voters != 0 && c.Voters%2 == 0 {
		errs = append(errs, fmt.Errorf("--voters %d: want an odd number up to %d: of an even number no more may be lost than of one less", c.Voters, mostVoters))
	}
	if c.Worker && c.Witness {
		errs = append(errs, errors.New("--witness: a worker holds no state, and has no vote"))
	}
	if c.Worker && c.AuditLog != "" {
		errs = append(errs, errors.New("--audit-log: a worker passes the API on to servers, which keep the audit log"))
	}
	if err := c.Housekeeping.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// defaultPort is where a node listens that is not told otherwise.
const defaultPort = "7443"

// withPort is a host with the port where its node listens: the default one where none is given.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), defaultPort)
}

// checkAddress says what is wrong with where a node is said to be: a host, with the port or without.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(withPort(address))
	if err != nil || host == "" || strings.Contains(address, "/") || strings.ContainsAny(host, "[]") {
		return errors.New("want the address of a node, host or host:port, such as 192.0.2.7:7443")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("the port is %q: want a number from 1 to 65535", port)
	}
	return nil
}

func (c *Config) kubeconfig() string { return filepath.Join(c.DataDir, "admin.kubeconfig") }

// instanceID tells this node's bridge, cgroups and tables from those of another node on the same machine.
func (c *Config) instanceID() string {
	sum := sha256.Sum256([]byte(c.StateDir))
	return hex.EncodeToString(sum[:4])
}

// NameFromHost makes a node name of a host name.
func NameFromHost(hostname string) string {
	name := strings.Trim(strings.ToLower(strings.ReplaceAll(hostname, "_", "-")), "-.")
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "node"
	}
	return name
}
