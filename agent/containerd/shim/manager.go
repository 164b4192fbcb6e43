package main

import (
	"context"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/shim"
)

// starter is containerd's manager of shims.
type starter struct {
	shim.Shim
	older bool // the containerd that starts the shim is older than covey's
}

// Start also says that the shim leaves special mounts to containerd. Where a shim says nothing about that, containerd runs
// it once more for each container to ask.
func (s starter) Start(ctx context.Context, params *bootapi.BootstrapParams) (*bootapi.BootstrapResult, error) {
	result, err := s.Shim.Start(ctx, params)
	if err != nil {
		return nil, err
	}
	if s.older {
		return nil, answerOlder(result.GetAddress())
	}
	return result, result.AddExtension(&types.MountCapabilities{})
}
