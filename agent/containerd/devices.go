package containerd

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"covey.dev/covey/agent"
)

// deviceDirs are where vendors describe their devices, the later ones over the earlier.
var deviceDirs = []string{"/etc/cdi", "/var/run/cdi"}

// injecting is for one container at a time: the library keeps what it has read.
var injecting sync.Mutex

// withDevices gives a container devices by their CDI names, such as vendor.com/class=name. The descriptions are read
// anew for each container.
func withDevices(names []string) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		if len(names) == 0 {
			return nil
		}
		injecting.Lock()
		defer injecting.Unlock()
		cache, err := cdi.NewCache(cdi.WithSpecDirs(deviceDirs...), cdi.WithAutoRefresh(false))
		if err != nil {
			return fmt.Errorf("read the descriptions of devices: %w", err)
		}
		if _, err := cache.InjectDevices(s, names...); err != nil {
			return fmt.Errorf("%w: devices: %w", agent.ErrInvalidSpec, err)
		}
		return nil
	}
}
