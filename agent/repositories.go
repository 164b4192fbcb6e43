package agent

import (
	"context"
	"net/http"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// LocalRegistry is the first part of the names of images that were pushed to the cluster without that of another registry.
const LocalRegistry = "covey.local"

// Repositories keeps, for the whole cluster, what was pushed to it: the manifests of each repository. Their content is on nodes.
type Repositories interface {
	// Repository gives what a repository ("covey.local/team/app") has, by tag, or by digest what has none; nothing for one that
	// there is not.
	Repository(ctx context.Context, name string) (map[string]Manifest, error)
	// Look gives what several have, as Repository does, and whether that is the newest state: without a leader it is what is known
	// here, which may lack what was pushed last. One that cannot be read is left out, and is in the error.
	Look(ctx context.Context, names []string) (repositories map[string]map[string]Manifest, current bool, err error)
	// ChangeRepository changes what it has. When nothing is left it is removed. change may be called more than once; its error
	// comes back as it is.
	ChangeRepository(ctx context.Context, name string, change func(map[string]Manifest) error) error
	// RepositoryNames gives the names of all, sorted.
	RepositoryNames(ctx context.Context) ([]string, error)
}

// Manifest describes a manifest or index that was pushed.
type Manifest struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	SizeBytes    int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Subject      string            `json:"subject,omitempty"` // the digest of the manifest that it says something of
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// RegistryConfig is what the cluster's own registry is served with.
type RegistryConfig struct {
	Repositories Repositories
	Holders      Holders // has what was pushed to other nodes; may be nil
	// Changed is called after what was pushed to this node has changed.
	Changed func(ctx context.Context)
}

// Registry serves a node's images at /v2/, as the OCI distribution specification has it.
type Registry interface {
	// ForNodes serves the images to other nodes, to be read only. It is what Holders ask.
	ForNodes() http.Handler
	// ForUsers serves what was and is pushed to the cluster. Who asks must be known to be allowed to.
	ForUsers() http.Handler
	// Resolve gives what was pushed to the cluster by an image's full name, wherever its content is; an error when nothing was.
	Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)
	// Pushed gives what was pushed to this node and still counts, and lets go what does not. While the cluster has no leader all counts.
	// Of the images Ref and Digest are set.
	Pushed(ctx context.Context) ([]Image, error)
	// Prune drops what is kept of pushes that did not come to their end. Images.Prune then removes it from the disk.
	Prune(ctx context.Context) error
}
