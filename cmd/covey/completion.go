package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// completionTime is how long a user who pressed Tab is kept waiting at most.
const completionTime = 2 * time.Second

func newCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion (bash|zsh|fish)",
		Short: "Print a script that lets a shell complete covey's commands and objects",
		Example: "  source <(covey completion bash)\n" +
			"  covey completion zsh > \"${fpath[1]}/_covey\"\n" +
			"  covey completion fish > ~/.config/fish/completions/covey.fish",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			case "fish":
				return cmd.Root().GenFishCompletion(out, true)
			}
			return fmt.Errorf("unsupported shell type %q", args[0])
		},
	}
}

type completer = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeObjects completes TYPE NAME... and TYPE/NAME.
func (o *options) completeObjects(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return o.complete(cmd, func(s *session) []string {
		if typ, _, ok := strings.Cut(typed, "/"); ok {
			return prefixed(typ+"/", s.namesOf(typ))
		}
		if len(args) > 0 {
			return s.namesOf(args[0])
		}
		kinds, err := s.served()
		if err != nil {
			return nil
		}
		var all []string
		for _, r := range kinds {
			if slices.Contains(r.Verbs, "get") {
				all = append(all, r.Plural)
			}
		}
		return all
	})
}

// completeOf completes the names of one type, or TYPE/NAME of the others that the command takes.
func (o *options) completeOf(typ string, others ...string) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.complete(cmd, func(s *session) []string {
			if other, _, ok := strings.Cut(typed, "/"); ok {
				return prefixed(other+"/", s.namesOf(other))
			}
			return append(s.namesOf(typ), prefixed("", others)...)
		})
	}
}

func (o *options) complete(cmd *cobra.Command, find func(*session) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	cmd.SetContext(ctx)
	s, err := o.open(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return find(s), cobra.ShellCompDirectiveNoFileComp
}

// namesOf lists the objects of a type; none when they cannot be had.
func (s *session) namesOf(typ string) []string {
	r, err := s.lookup(typ)
	if err != nil {
		return nil
	}
	var names []string
	sel := &selection{}
	_ = s.list(target{Resource: r, namespace: s.Namespace}, sel.query(), func(raw json.RawMessage) error {
		var meta metav1.PartialObjectMetadata
		err := json.Unmarshal(raw, &meta)
		names = append(names, meta.Name)
		return err
	})
	return names
}

func prefixed(prefix string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = prefix + name
	}
	return out
}
