package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// node is a covey.
type node struct {
	*process
	opts    options
	dir     string
	clients *kubernetes.Clientset
	ready   time.Duration // from the start of the process to its answer that it is ready
}

const coveyAddress = "127.0.0.1:7443"

// newNode starts a node with an empty data directory.
func newNode(ctx context.Context, opts options, name string) (*node, error) {
	n := &node{opts: opts, dir: filepath.Join(opts.dir, name)}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, err
	}
	return n, n.start(ctx)
}

func (n *node) start(ctx context.Context) error {
	begun := time.Now()
	var err error
	n.process, err = launch(filepath.Join(n.dir, "log"), filepath.Join(n.opts.bin, "covey"), "start",
		"--data-dir", filepath.Join(n.dir, "d"), "--state-dir", filepath.Join(n.dir, "s"), "--listen", coveyAddress, "--node-name", "bench",
		// That the machine is nearly full is not what is measured.
		"--eviction-hard", "nodefs.available<1%,imagefs.available<1%", "--image-gc-high-threshold=99", "--image-gc-low-threshold=98")
	if err != nil {
		return err
	}
	for deadline := begun.Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if err := n.connect(); err == nil {
			if _, err = n.clients.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err == nil {
				n.ready = time.Since(begun)
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("covey is not ready: %s", n.tail())
		}
	}
}

// connect makes clients that speak protobuf, as Kubernetes' own components do.
func (n *node) connect() error {
	conn, err := net.Dial("tcp", coveyAddress) // the client itself would wait and try again more slowly
	if err != nil {
		return err
	}
	_ = conn.Close()
	cfg, err := n.config()
	if err != nil {
		return err
	}
	n.clients, err = kubernetes.NewForConfig(cfg)
	return err
}

func (n *node) config() (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(n.dir, "d", "admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	cfg.QPS = -1
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	return cfg, nil
}

// load makes an image known to the node.
func (n *node) load(image string) error {
	cmd := exec.Command(filepath.Join(n.opts.bin, "covey"), "image", "load", filepath.Join(n.opts.bin, image))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(n.dir, "d", "admin.kubeconfig"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load %s: %w: %s", image, err, out)
	}
	return nil
}

// processes are covey's own and its shims.
func (n *node) processes() []int {
	pids := []int{n.pid()}
	entries, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range entries {
		target, _ := os.Readlink(exe)
		var pid int
		_, _ = fmt.Sscanf(exe, "/proc/%d/exe", &pid)
		if strings.HasPrefix(target, n.dir+"/") && strings.Contains(target, "containerd-shim") {
			pids = append(pids, pid)
		}
	}
	return pids
}
