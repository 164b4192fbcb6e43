// Command shim is containerd's shim for runc with one thing added: it writes its containers' output to their rotated log
// files itself. So output goes on, nothing is lost and no container waits on a full pipe while covey restarts, is
// upgraded or was killed; and covey does nothing per line.
//
// covey embeds it as containerd-shim-runc-v2, unpacks it, and hands containerd its path.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

func main() {
	older, err := adaptStart(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn:   newService,
	})
	shim.RunShim(context.Background(), starter{manager.NewShimManager("io.containerd.runc.v2"), older}, func(c *shim.Config) {
		c.NoSetupLogger = isEarly()
	})
}

func newService(ic *plugin.InitContext) (any, error) {
	publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
	if err != nil {
		return nil, err
	}
	stop, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
	if err != nil {
		return nil, err
	}
	inner, err := task.NewTaskService(ic.Context, publisher.(shim.Publisher), stop.(shutdown.Service))
	if err != nil {
		return nil, err
	}
	s := &service{
		TTRPCTaskService: inner, logs: map[string]*containerLog{}, tidy: time.AfterFunc(quiet, rest),
	}
	s.stir()
	if isEarly() {
		return s, s.standBy(stop.(shutdown.Service))
	}
	return s, nil
}
