package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// DefaultDataDir is where a node keeps its data, and so its administrator's kubeconfig, unless told otherwise.
const DefaultDataDir = "/var/lib/covey"

// ErrNoConfig is returned when no kubeconfig can be found; its text says where it was looked for.
var ErrNoConfig = errors.New("no kubeconfig found")

// Options say which cluster to speak to, as whom, and about which namespace. Empty ones are found out.
type Options struct {
	Kubeconfig string // file
	Context    string // of the kubeconfig
	Server     string // address, instead of the kubeconfig's
	Namespace  string
}

// Config is where to connect to, and the namespace that is meant where none is named.
type Config struct {
	REST      *rest.Config
	Namespace string
}

// Load finds the kubeconfig: the file named in the options, else those in $KUBECONFIG, else the one of the node on this
// machine (in COVEY_DATA_DIR or DefaultDataDir), else ~/.kube/config.
func Load(o Options) (*Config, error) {
	rules, err := locate(o.Kubeconfig)
	if err != nil {
		return nil, err
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: o.Context}
	overrides.ClusterInfo.Server = o.Server
	overrides.Context.Namespace = o.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	cfg, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("%w: %s has no cluster to connect to, or is not there", ErrNoConfig, strings.Join(sources(rules), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return &Config{REST: cfg, Namespace: namespace}, nil
}

// locate gives the rules that read the one source to be used, without those that look elsewhere.
func locate(explicit string) (*clientcmd.ClientConfigLoadingRules, error) {
	if explicit != "" {
		return &clientcmd.ClientConfigLoadingRules{ExplicitPath: explicit}, nil
	}
	if list := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); list != "" {
		return &clientcmd.ClientConfigLoadingRules{Precedence: filepath.SplitList(list)}, nil
	}
	local := LocalKubeconfig()
	candidates := []string{local}
	if home, err := os.UserHomeDir(); err == nil {
		candidates = append(candidates, filepath.Join(home, ".kube", "config"))
	}
	var denied error
	for _, file := range candidates {
		f, err := os.Open(file)
		switch {
		case err == nil:
			_ = f.Close()
			return &clientcmd.ClientConfigLoadingRules{ExplicitPath: file}, nil
		case errors.Is(err, os.ErrPermission):
			denied = err
		}
	}
	if denied != nil {
		return nil, fmt.Errorf("%w that may be read (%w): try as root, or pass --kubeconfig FILE", ErrNoConfig, denied)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(local), "identity")); err == nil {
		return nil, fmt.Errorf("%w: the node on this machine has no %s, as it is a worker, has left its cluster or was never ready; "+
			"copy that of a server, and set KUBECONFIG or pass --kubeconfig FILE", ErrNoConfig, local)
	}
	return nil, fmt.Errorf("%w: no node on this machine has written %s; start one with \"covey start\", set KUBECONFIG or pass --kubeconfig FILE",
		ErrNoConfig, local)
}

func sources(rules *clientcmd.ClientConfigLoadingRules) []string {
	if rules.ExplicitPath != "" {
		return []string{rules.ExplicitPath}
	}
	return rules.Precedence
}

// LocalKubeconfig is the file into which a node on this machine writes its administrator's kubeconfig.
func LocalKubeconfig() string {
	dir := os.Getenv("COVEY_DATA_DIR")
	if dir == "" {
		dir = DefaultDataDir
	}
	return filepath.Join(dir, "admin.kubeconfig")
}
