package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/table"
)

func newRegistryList(base *options) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List what was pushed to the cluster, by the names that pods have for it",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return listPushed(base, cmd) },
	}
}

func listPushed(base *options, cmd *cobra.Command) error {
	s, err := base.open(cmd)
	if err != nil {
		return err
	}
	var catalog struct{ Repositories []string }
	if err := s.Into(s.ctx(), client.Request{Path: "/v2/_catalog"}, &catalog); err != nil {
		return err
	}
	p := table.Printer{Out: cmd.OutOrStdout()}
	p.Columns([]metav1.TableColumnDefinition{{Name: "Image"}})
	var rows []table.Row
	for _, repository := range catalog.Repositories {
		var list struct{ Tags []string }
		if err := s.Into(s.ctx(), client.Request{Path: "/v2/" + repository + "/tags/list"}, &list); err != nil {
			return err
		}
		name := repository
		if first, _, nested := strings.Cut(repository, "/"); !nested || !strings.Contains(first, ".") {
			name = "covey.local/" + repository
		}
		for _, tag := range list.Tags {
			rows = append(rows, table.Row{Cells: []any{name + ":" + tag}})
		}
	}
	return p.Print(rows)
}

func newRegistryRemove(base *options) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME:TAG...",
		Aliases: []string{"remove"},
		Short:   "Remove what was pushed; pods that run it go on",
		Example: "  covey registry rm hello:1.0",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return forEach(args, func(name string) error {
				if err := s.removePushed(name); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				s.say("Removed: %s", name)
				return nil
			})
		},
	}
}

func (s *session) removePushed(name string) error {
	repository, id, ok := strings.Cut(strings.TrimPrefix(name, "covey.local/"), "@")
	if !ok {
		i := strings.LastIndex(repository, ":")
		if i < 0 {
			return errors.New("say which tag, as in hello:1.0")
		}
		repository, id = repository[:i], repository[i+1:]
	}
	_, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodDelete, Path: "/v2/" + repository + "/manifests/" + id})
	if apierrors.IsNotFound(err) {
		return errors.New("nothing of this name was pushed to the cluster (covey registry ls)")
	}
	return err
}
