package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"covey.dev/covey/api/client"
)

// options are the flags of all commands that talk to a cluster.
type options struct {
	client.Options
}

func (o *options) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, the local node's, ~/.kube/config)")
	f.StringVar(&o.Context, "context", "", "context of the kubeconfig")
	f.StringVarP(&o.Server, "server", "s", "", "address of the API server, instead of the kubeconfig's")
	f.StringVarP(&o.Namespace, "namespace", "n", "", "namespace of the request")
}

// session is a command at work on a cluster.
type session struct {
	*client.Client
	cmd   *cobra.Command
	kinds client.Resources
}

// open finds the cluster; nothing is sent yet.
func (o *options) open(cmd *cobra.Command) (*session, error) {
	cfg, err := client.Load(o.Options)
	if err != nil {
		return nil, err
	}
	if err := checkNamespace(cfg.Namespace); err != nil {
		return nil, err
	}
	var mu sync.Mutex // several logs may be followed at once
	shown := map[string]bool{}
	c, err := client.New(cfg, func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if !shown[text] {
			shown[text] = true
			fmt.Fprintln(cmd.ErrOrStderr(), "Warning:", text)
		}
	})
	if err != nil {
		return nil, err
	}
	return &session{Client: c, cmd: cmd}, nil
}

func (s *session) ctx() context.Context { return s.cmd.Context() }

// served are the kinds that the server has, asked for once.
func (s *session) served() (client.Resources, error) {
	if s.kinds == nil {
		kinds, err := s.Resources(s.ctx())
		if err != nil {
			return nil, err
		}
		s.kinds = kinds
	}
	return s.kinds, nil
}

// lookup finds one kind that the command is about.
func (s *session) lookup(name string) (*client.Resource, error) {
	kinds, err := s.served()
	if err != nil {
		return nil, err
	}
	return kinds.Lookup(name)
}

// say prints a line of the command's result.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.cmd.OutOrStdout(), format+"\n", args...)
}

// note prints a line beside the result.
func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), format+"\n", args...)
}
