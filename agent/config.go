package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"covey.dev/covey/agent/eviction"
	"covey.dev/covey/agent/network"
)

// Config is what an agent is made with. Directories are absolute.
type Config struct {
	NodeName    string
	ListenPort  int               // of the node's one port
	InstanceID  string            // 8 hex digits that tell this node's things from another's on the same machine
	DataDir     string            // pods' volumes, files and logs are in its folder pods
	StateDir    string            // pinned namespaces are in its folder pods
	Labels      map[string]string // of the Node object
	Annotations map[string]string // of the Node object

	// Addresses are those that others reach this node at now, the best first, each with the size of its network. There is at
	// least one.
	Addresses func() []netip.Prefix
	Overlay   string // the way to the pods of nodes that share no link with this one: one of network's; empty: network.OverlayVXLAN

	// RegistryConfig is the folder of what is known of registries; the node's own credentials are in its config.json.
	RegistryConfig string
	Housekeeping
	// LookEvery is how often, at most, what pods with limits on local disk use and what the node has left is looked at;
	// 0: 10 s.
	LookEvery time.Duration
	// LookMost is for how long a node with plenty left is not looked at; 0: 1 minute.
	LookMost time.Duration
	// Observe tells what the node has left; nil: what the machine has.
	Observe func() (eviction.Observation, error)

	Peers Peers // the other nodes, which are asked for images; nil: there are none
	// Repositories keeps what is pushed to the cluster; nil on a node that cannot be pushed to.
	Repositories Repositories
	// Watchdog is the command that runs RunWatchdog; empty: the node has no pods that may run at most once.
	Watchdog []string

	Version       string           // of covey
	Now           func() time.Time // nil: time.Now
	UnsafeSysctls []string         // kernel parameters that pods may set beside the safe ones; kernel.msg* is all that begin so
	PodMaxPids    int64            // processes of a pod; 0: no limit
	MaxPods       int              // that the node takes; 0: DefaultMaxPods
	Logger        *slog.Logger     // nil: slog.Default()

	sys string // where the kernel's /sys is; tests have their own
}

// Housekeeping says how full a node may become. The zero value stands for the kubelet's defaults.
type Housekeeping struct {
	EvictionHard      string // thresholds such as "memory.available<100Mi,nodefs.available<10%"
	EvictionSoft      string // the same, for those that may be met for a while
	EvictionSoftGrace string // for how long: "memory.available=1m30s"
	// EvictionTransition is how long a node condition such as MemoryPressure holds after it was seen last; 0: 5 minutes.
	EvictionTransition time.Duration
	ImageGCHigh        int // percent of the images' file system in use above which unused images are removed; 0: 85
	ImageGCLow         int // percent down to which; 0: 80
}

// Validate says what is wrong in the settings, by the names of the flags.
func (h Housekeeping) Validate() error {
	_, err := h.thresholds()
	return err
}

// ValidateOverlay says whether there is such an overlay; an empty name stands for the default.
func ValidateOverlay(name string) error {
	switch name {
	case "", network.OverlayVXLAN, network.OverlayWireGuard, network.OverlayNone:
		return nil
	}
	return fmt.Errorf("--overlay %q: want %s, %s or %s", name, network.OverlayVXLAN, network.OverlayWireGuard, network.OverlayNone)
}

// thresholds checks the settings and fills in those that were left out.
func (h *Housekeeping) thresholds() ([]eviction.Threshold, error) {
	h.ImageGCHigh, h.ImageGCLow = cmp.Or(h.ImageGCHigh, 85), cmp.Or(h.ImageGCLow, 80)
	if h.EvictionTransition = cmp.Or(h.EvictionTransition, eviction.DefaultTransition); h.EvictionTransition < 0 {
		return nil, fmt.Errorf("--eviction-pressure-transition-period %s: want a time such as 5m", h.EvictionTransition)
	}
	if h.ImageGCLow <= 0 || h.ImageGCHigh > 100 || h.ImageGCLow >= h.ImageGCHigh {
		return nil, fmt.Errorf("--image-gc-low-threshold %d and --image-gc-high-threshold %d: want percentages, the low one below the high one",
			h.ImageGCLow, h.ImageGCHigh)
	}
	return eviction.Parse(h.EvictionHard, h.EvictionSoft, h.EvictionSoftGrace)
}

func (c *Config) complete() error {
	c.MaxPods = cmp.Or(c.MaxPods, DefaultMaxPods)
	c.Overlay = cmp.Or(c.Overlay, network.OverlayVXLAN)
	c.LookEvery, c.LookMost = cmp.Or(c.LookEvery, lookEvery), cmp.Or(c.LookMost, lookMost)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.sys = "/sys"
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.NodeName == "" || c.InstanceID == "" || c.Addresses == nil || !filepath.IsAbs(c.DataDir) || !filepath.IsAbs(c.StateDir) {
		return errors.New("an agent needs a node name, an instance ID, its addresses and absolute directories")
	}
	return nil
}

// address is the one that others reach this node at first.
func (c *Config) address() string { return c.Addresses()[0].Addr().String() }

func (c *Config) podsDir() string                { return filepath.Join(c.DataDir, "pods") }
func (c *Config) podDir(uid string) string       { return filepath.Join(c.podsDir(), uid) }
func (c *Config) namespacesDir() string          { return filepath.Join(c.StateDir, "pods") }
func (c *Config) namespaceDir(uid string) string { return filepath.Join(c.namespacesDir(), uid, "ns") }

// seccompDir has the profiles that pods name with seccompProfile.localhostProfile.
func (c *Config) seccompDir() string { return filepath.Join(c.DataDir, "seccomp") }

func (c *Config) cgroup(uid string) string { return "/covey-" + c.InstanceID + "/pod" + uid }
