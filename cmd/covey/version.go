package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	apiversion "k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/api/client"
	"covey.dev/covey/node"
)

type versions struct {
	Client apiversion.Info  `json:"clientVersion"`
	Server *apiversion.Info `json:"serverVersion,omitempty"`
	// Protocol is which versions of the protocol between nodes this program speaks.
	Protocol node.ProtocolRange `json:"nodeProtocol"`
}

func newVersionCommand(base *options) *cobra.Command {
	var clientOnly bool
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this program and of the server",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" && output != "yaml" {
				return fmt.Errorf("--output must be 'yaml' or 'json'")
			}
			v := versions{Client: buildInfo(), Protocol: node.Protocol()}
			var err error
			if !clientOnly {
				v.Server, err = base.serverVersion(cmd)
			}
			if printErr := v.print(cmd, output); printErr != nil {
				return printErr
			}
			return err
		},
	}
	base.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&clientOnly, "client", false, "only of this program; asks no server")
	cmd.Flags().StringVarP(&output, "output", "o", "", "yaml or json")
	return cmd
}

func (o *options) serverVersion(cmd *cobra.Command) (*apiversion.Info, error) {
	s, err := o.open(cmd)
	if err != nil {
		return nil, err
	}
	var info apiversion.Info
	if err := s.Into(s.ctx(), client.Request{Path: "/version"}, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

func buildInfo() apiversion.Info {
	info := apiversion.Info{
		GitVersion: version, GoVersion: runtime.Version(), Compiler: runtime.Compiler,
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3); len(parts) == 3 {
		info.Major, info.Minor = parts[0], parts[1]
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.GitCommit = setting.Value
		case "vcs.time":
			info.BuildDate = setting.Value
		case "vcs.modified":
			info.GitTreeState = map[string]string{"true": "dirty", "false": "clean"}[setting.Value]
		}
	}
	return info
}

func (v *versions) print(cmd *cobra.Command, output string) error {
	out := cmd.OutOrStdout()
	var text []byte
	var err error
	switch output {
	case "json":
		text, err = json.MarshalIndent(v, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(v)
	default:
		text = fmt.Appendf(nil, "Client Version: %s\n", v.Client.GitVersion)
		if v.Server != nil {
			text = fmt.Appendf(text, "Server Version: %s\n", v.Server.GitVersion)
		}
		text = fmt.Appendf(text, "Node Protocol: %s\n", v.Protocol)
	}
	if err != nil {
		return fmt.Errorf("encode the versions: %w", err)
	}
	_, err = out.Write(text)
	return err
}
