package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/registry"
)

// Request is an image that is wanted.
type Request struct {
	Ref     string // its full name
	Refresh bool   // the registry says what Ref stands for, if it can be asked
	Auth    agent.Credentials
	Holders agent.Holders // nil: only the registry is asked
	// Registry makes a resolver that shows the registry credentials.
	Registry func(agent.Credentials) remotes.Resolver
	// Pushed gives what was pushed to the cluster by that name; an error when nothing was or that is not known here. Here reads what
	// was pushed to this node.
	Pushed func(ctx context.Context) (ocispec.Descriptor, error)
	Here   func(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error)
	// Local gives the image of that name on this machine.
	Local func() (target ocispec.Descriptor, labels map[string]string, ok bool)
}

// Find finds out what the name stands for.
func Find(ctx context.Context, req Request) (*Image, error) {
	f, err := newFinder(req)
	if err != nil {
		return nil, err
	}
	own := reference.Domain(f.named) == agent.LocalRegistry
	var rumour *Image
	if own || !req.Refresh {
		image, sure := f.askCluster(ctx)
		if image != nil && (sure || own) {
			return image, nil
		}
		rumour = image
	}
	var image *Image
	switch {
	case own:
		err = fmt.Errorf("nothing was pushed to the cluster as %s, or no node that knows of it can be reached: %w", f.Ref, errdefs.ErrNotFound)
	case rumour != nil:
		return f.checked(ctx, rumour)
	default:
		image, err = f.askRegistry(ctx)
	}
	if err == nil || !req.Refresh || !own && !unavailable(err) || ctx.Err() != nil {
		return image, err
	}
	if image = f.local(); image == nil {
		image, _ = f.askCluster(ctx)
	}
	if image == nil {
		return nil, err
	}
	image.Unasked = err
	return image, nil
}

// askCluster finds the image in the cluster: what was pushed to it, and what other nodes have; nil where there is none. It is not sure
// where only workers say so.
func (f *finder) askCluster(ctx context.Context) (image *Image, sure bool) {
	if target, err := f.Pushed(ctx); err == nil {
		image := f.image(target, nil)
		image.Labels[registry.LabelLoaded] = "true"
		return image, true
	}
	return f.askNodes(ctx)
}

// checkTime is how long a registry has to say what a name stands for of which workers say that they know it. Where there is none, nobody
// waits for longer. Tests have more.
var checkTime = 10 * time.Second

// checked is what the registry says that a name stands for, and what workers say where it does not: one of them may be in a stranger's
// hands, and would give other nodes a program of its own to run.
func (f *finder) checked(ctx context.Context, rumour *Image) (*Image, error) {
	checking, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	image, err := f.askRegistry(checking)
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		return rumour, nil
	}
	if image.Target.Digest == rumour.Target.Digest {
		image.nodes = rumour.nodes
	}
	return image, nil
}

// finder is one call of Find.
type finder struct {
	Request
	named      reference.Named
	credential string       // what Auth has for the registry, by its name; "" for nothing
	client     *http.Client // of the nodes
	registry   remotes.Resolver
	shown      bool // the registry wanted to see a credential
}

func newFinder(req Request) (*finder, error) {
	named, err := reference.ParseDockerRef(req.Ref)
	if err != nil {
		return nil, fmt.Errorf("image name %q: %w", req.Ref, err)
	}
	f := &finder{Request: req, named: named}
	if req.Holders != nil {
		f.client = &http.Client{Transport: req.Holders, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if req.Auth == nil {
		f.registry = req.Registry(nil)
		return f, nil
	}
	f.credential = credentialName(reference.Domain(named), req.Auth(reference.Domain(named)))
	f.registry = req.Registry(func(host string) *agent.RegistryAuth {
		auth := req.Auth(host)
		if auth != nil {
			f.shown = true
		}
		return auth
	})
	return f, nil
}

// credentialName tells one credential of a registry from another without giving it away.
func credentialName(domain string, auth *agent.RegistryAuth) string {
	if auth == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(domain + "\x00" + auth.Username + "\x00" + auth.Password))
	return hex.EncodeToString(sum[:])
}

// askRegistry resolves the name as containerd does.
func (f *finder) askRegistry(ctx context.Context) (*Image, error) {
	_, target, err := f.registry.Resolve(ctx, f.Ref)
	if err != nil {
		return nil, fmt.Errorf("failed to resolve reference %q: %w", f.Ref, err)
	}
	image := f.image(target, nil)
	if f.shown {
		image.Labels[registry.LabelCredential] = f.credential
	}
	return image, nil
}

// local is the image on this machine, unless a registry wanted a credential for it that is not the one here.
func (f *finder) local() *Image {
	target, labels, ok := f.Local()
	if with := labels[registry.LabelCredential]; !ok || with != "" && with != f.credential {
		return nil
	}
	image := f.image(target, nil)
	for _, label := range []string{registry.LabelCredential, registry.LabelLoaded} {
		if labels[label] != "" {
			image.Labels[label] = labels[label]
		}
	}
	return image
}

func (f *finder) image(target ocispec.Descriptor, nodes []string) *Image {
	return &Image{
		Target: target, Labels: map[string]string{},
		find: f, nodes: nodes, broken: map[string]bool{}, received: map[string]int64{},
	}
}

// unavailable says that nobody answered for the registry, or only that it cannot be asked now: not that it refused.
func unavailable(err error) bool {
	var certificate *tls.CertificateVerificationError
	if errdefs.IsNotFound(err) || errors.Is(err, docker.ErrInvalidAuthorization) || errors.As(err, &certificate) {
		return false
	}
	var status remoteserrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return status.StatusCode >= 500 || status.StatusCode == http.StatusTooManyRequests || status.StatusCode == http.StatusRequestTimeout
	}
	var request *url.Error
	return errors.As(err, &request)
}
