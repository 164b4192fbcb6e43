package agent

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/disk"
)

var (
	// ErrNotFound is returned for a container or an image that the runtime does not have.
	ErrNotFound = errors.New("not found")
	// ErrExists is returned by Create for an ID that is taken.
	ErrExists = errors.New("already exists")
	// ErrNotRunning is returned by Signal and Exec for a container without a running process.
	ErrNotRunning = errors.New("not running")
	// ErrInvalidSpec is returned by Create for a spec that cannot be carried out as it is, such as runAsNonRoot with an
	// image that runs as root. Its message says what is wrong.
	ErrInvalidSpec = errors.New("invalid container spec")
)

// Runtime runs containers on this machine. Containers outlive the process that created them: after a restart of covey
// List shows them, Watch reports their exits, and their output goes on to their log.
type Runtime interface {
	// Create prepares a container from an image that is present (ErrNotFound when it is not). It does not start it.
	Create(ctx context.Context, spec *ContainerSpec) error
	// Start runs a created container's process. When it fails the container stays, to be removed.
	Start(ctx context.Context, id string) error
	// Signal sends a signal to the container's first process.
	Signal(ctx context.Context, id string, sig syscall.Signal) error
	// Remove kills what still runs and deletes all of the container but its log. Removing what is gone is no error.
	Remove(ctx context.Context, id string) error
	// List shows every container that covey owns, in any state.
	List(ctx context.Context) ([]Container, error)
	// DiskUsage measures what a container has written into its own layer over the image; ErrNotFound when it is gone.
	DiskUsage(ctx context.Context, id string) (disk.Usage, error)
	// Watch calls changed with a container's ID after its process exits, until ctx ends. Exits may be reported more
	// than once. Those that happened before it has begun are found by List from its first call on, which names no container.
	Watch(ctx context.Context, changed func(id string)) error
	// Exec runs a further process in a running container and waits for it. Err is about starting or attaching it; the
	// process's own failure is its exit code.
	Exec(ctx context.Context, id string, spec *ExecSpec) (exitCode int, err error)
	// Attach connects streams to a running container's first process until it has ended or ctx ends. Output from before is
	// not shown. When the input ends so does that of a container with StdinOnce and no terminal; of another the attachment.
	Attach(ctx context.Context, id string, spec *AttachSpec) error

	Images
}

// Images is the runtime's store of container images. A ref is a normalised name ("docker.io/library/busybox:1.36").
type Images interface {
	// Image finds a present, unpacked image; ErrNotFound otherwise.
	Image(ctx context.Context, ref string) (Image, error)
	ListImages(ctx context.Context) ([]Image, error)
	// Load reads an OCI or docker archive (tar, also compressed) and unpacks what is for this platform.
	Load(ctx context.Context, archive io.Reader) ([]Image, error)
	// Pull fetches an image from other nodes, its registry or a mirror of it. A pull that was cut off goes on where it was.
	// One that receives nothing for minutes fails.
	Pull(ctx context.Context, req PullRequest) (Pulled, error)
	// Registry makes the registry that the images are served by, and that can be pushed to.
	Registry(cfg RegistryConfig) Registry
	// RemoveImage drops a name and what nothing else uses. ErrNotFound when there is none.
	RemoveImage(ctx context.Context, ref string) error
	// Prune drops what is kept of pulls that did not come to their end, and all else that nothing uses.
	Prune(ctx context.Context) error
	// ImageDir is on the file system that images and containers' own layers are on; "" when that is not known.
	ImageDir() string
}

// Image is an image that is present.
type Image struct {
	Ref       string // the normalised name
	Digest    string // of the manifest or index, sha256:...
	SizeBytes int64
	CreatedAt time.Time
	Pinned    bool // never to be removed to make room
	Loaded    bool // from an archive: it cannot be pulled again if it is removed
	// From the image's configuration for this platform.
	User string // "", "1000", "1000:1000" or a name
}

// Credentials gives what to say to the registry at a host ("registry.example:5000") that asks who pulls; nil for nothing.
type Credentials func(host string) *RegistryAuth

// RegistryAuth is a registry credential.
type RegistryAuth struct {
	Username, Password string
}

// PullRequest is an image to be pulled.
type PullRequest struct {
	Ref string // normalised
	// Refresh has the registry say what Ref stands for, as long as it can be asked. When it cannot, what is here counts, and
	// then what other nodes have. Without it other nodes are asked before the registry.
	Refresh bool
	// Auth may be nil. Another node gives an image that it pulled with a credential only where Auth gives the same.
	Auth     Credentials
	Registry Registry           // the cluster's own; may be nil
	Holders  Holders            // nil: no other nodes are asked
	Progress func(PullProgress) // may be nil
}

// Pulled is an image and where it came from.
type Pulled struct {
	Image Image    `json:"image"`
	From  []string `json:"from"` // nodes and registries, those that gave most first; none when it was all here
	// Unasked is why the registry was not the one to say what the name stands for, though it should have.
	Unasked error `json:"-"`
}

// PullProgress is one layer's (or manifest's) state while an image is pulled.
type PullProgress struct {
	Item   string `json:"item"`   // digest or name
	Status string `json:"status"` // resolving, downloading, unpacking, done
	Offset int64  `json:"offset"` // bytes
	Total  int64  `json:"total"`  // bytes, 0 when unknown
}

// ContainerState is where a container is in its life.
type ContainerState string

// A container only moves forward through these.
const (
	StateCreated ContainerState = "created"
	StateRunning ContainerState = "running"
	StateExited  ContainerState = "exited"
)

// Container is what the runtime knows of one container.
type Container struct {
	ID         string
	Pod        PodRef
	Name       string // the container's name in the pod
	Attempt    int    // 0 for the first start, then counted up
	SpecHash   string // ContainerSpec.SpecHash, unchanged
	Image      string // ContainerSpec.Image
	ImageID    string // digest of the image that runs
	LogPath    string
	StopSignal syscall.Signal // asks it to end
	State      ContainerState
	Pid        int // 0 unless running
	CreatedAt  time.Time
	StartedAt  time.Time // zero unless it was started
	FinishedAt time.Time // zero unless exited
	// ExitCode counts 128+n for a signal; 255 when it is not known (the machine was rebooted).
	ExitCode  int32
	OOMKilled bool
}

// PodRef names a pod and one life of it.
type PodRef struct {
	Namespace, Name, UID string
}

// ContainerSpec is all that the runtime needs to make one container. Everything that comes from the cluster
// (environment, volumes, merged security context) is resolved already.
type ContainerSpec struct {
	ID       string
	Pod      PodRef
	Name     string
	Attempt  int
	SpecHash string
	Image    string // normalised ref, or a digest
	// Command and Args replace the image's entrypoint and command as in Kubernetes; nil takes the image's.
	Command, Args []string
	Env           []string // KEY=value; added after the image's own, later ones win
	WorkingDir    string   // empty: the image's
	TTY           bool
	Stdin         bool   // the input is open and, before a client is attached, empty
	StdinOnce     bool   // it ends with that of the first client
	StopSignal    string // such as SIGQUIT; empty: the image's
	Hostname      string
	// Namespaces to join by path (pinned by the sandbox): "network", "ipc", "uts", "pid", "user". The value "host" shares the
	// machine's own; "" or no entry makes a new one (but for HostPID, HostIPC and users, who are then the machine's).
	Namespaces map[string]string
	// FirstUser is the machine's user, and group, that is the container's root when it has a user namespace.
	FirstUser uint32
	HostPID   bool
	HostIPC   bool
	Mounts    []Mount
	// CgroupParent is the pod's cgroup, "/covey-1a2b3c4d/pod<uid>"; the container's own is made below it.
	CgroupParent string
	Resources    Resources
	// Security is the container's security context merged over the pod's; never nil.
	Security           *corev1.SecurityContext
	AppArmorProfile    string   // loaded already; empty: none
	SeccompDir         string   // has the profiles of type Localhost
	Devices            []string // by their CDI names
	SupplementalGroups []int64
	StrictGroups       bool   // the groups that the image gives the user do not count
	LogPath            string // the log file that the output goes to, in CRI format, rotated
}

// Mount is a bind mount from the machine into the container, or a tmpfs when Source is empty.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	Propagation    string   // "", "rslave", "rshared"
	Options        []string // further options, such as size=64k for a tmpfs
}

// Resources are a container's limits, in the units of the cgroup files.
type Resources struct {
	CPUShares   uint64 // relative weight, 2 to 262144; 0: the default
	CPUQuota    int64  // microseconds per period; 0: no limit
	CPUPeriod   uint64 // microseconds
	MemoryLimit int64  // bytes; 0: no limit
	PidsLimit   int64  // 0: no limit
	OOMScoreAdj int    // -1000 to 1000
}

// TerminalSize is a terminal's size in characters.
type TerminalSize struct{ Width, Height uint16 }

// AttachSpec are the streams of an attachment. Nil streams are not attached.
type AttachSpec struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan TerminalSize
}

// ExecSpec is a further process in a running container. Nil streams are not attached.
type ExecSpec struct {
	Command        []string
	TTY            bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan TerminalSize
}
