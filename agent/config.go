package agent

import (
	"cmp"
	"errors"
	"log/slog"
	"path/filepath"
	"time"
)

// Config is what an agent is made with. Directories are absolute.
type Config struct {
	NodeName    string
	NodeAddress string            // the address others reach this node at
	ListenPort  int               // of the node's one port
	InstanceID  string            // 8 hex digits that tell this node's things from another's on the same machine
	DataDir     string            // pods' volumes, files and logs are in its folder pods
	StateDir    string            // pinned namespaces are in its folder pods
	Labels      map[string]string // of the Node object
	Annotations map[string]string // of the Node object

	// RegistryConfig is the folder of what is known of registries; the node's own credentials are in its config.json.
	RegistryConfig string
	// MeasureEvery is how often pods with limits on local disk are measured at least; 0: 10 s.
	MeasureEvery time.Duration

	Version       string           // of covey
	Now           func() time.Time // nil: time.Now
	UnsafeSysctls []string         // kernel parameters that pods may set beside the safe ones; kernel.msg* is all that begin so
	PodMaxPids    int64            // processes of a pod; 0: no limit
	MaxPods       int              // that the node takes; 0: DefaultMaxPods
	Logger        *slog.Logger     // nil: slog.Default()
}

func (c *Config) complete() error {
	c.MeasureEvery = cmp.Or(c.MeasureEvery, measureEvery)
	c.MaxPods = cmp.Or(c.MaxPods, DefaultMaxPods)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.NodeName == "" || c.InstanceID == "" || !filepath.IsAbs(c.DataDir) || !filepath.IsAbs(c.StateDir) {
		return errors.New("an agent needs a node name, an instance ID and absolute directories")
	}
	return nil
}

func (c *Config) podsDir() string                { return filepath.Join(c.DataDir, "pods") }
func (c *Config) podDir(uid string) string       { return filepath.Join(c.podsDir(), uid) }
func (c *Config) namespacesDir() string          { return filepath.Join(c.StateDir, "pods") }
func (c *Config) namespaceDir(uid string) string { return filepath.Join(c.namespacesDir(), uid, "ns") }

// seccompDir has the profiles that pods name with seccompProfile.localhostProfile.
func (c *Config) seccompDir() string { return filepath.Join(c.DataDir, "seccomp") }

func (c *Config) cgroup(uid string) string { return "/covey-" + c.InstanceID + "/pod" + uid }
