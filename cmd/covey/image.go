package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/table"
	"covey.dev/covey/node"
)

type imageOptions struct {
	*options
	node string
}

// image is what a node tells of an image that it has.
type image struct {
	Ref       string
	Digest    string
	SizeBytes int64
	CreatedAt time.Time
}

func newImageCommand(base *options) *cobra.Command {
	o := &imageOptions{options: base}
	cmd := &cobra.Command{
		Use:     "image COMMAND",
		Aliases: []string{"images"},
		Short:   "Load, list, remove and pull the images of a node",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	base.addFlags(cmd.PersistentFlags())
	cmd.PersistentFlags().StringVar(&o.node, "node", "", "the node (default: the one that is asked, which is this machine's if it has one)")
	cmd.AddCommand(o.newLoad(), o.newList(), o.newRemove(), o.newPull())
	return cmd
}

func (o *imageOptions) newLoad() *cobra.Command {
	return &cobra.Command{
		Use:     "load FILE|-",
		Short:   "Load the images of an OCI or docker archive into a node, from which the others get them",
		Example: "  covey image load hello.tar\n  docker save hello:1.0 | covey image load -",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.load(cmd, args[0]) },
	}
}

func (o *imageOptions) newList() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the images that a node has",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}

func (o *imageOptions) newRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove"},
		Short:   "Remove images from a node",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.remove(cmd, args) },
	}
}

// images is where the node of the options serves its images.
func (o *imageOptions) images(cmd *cobra.Command) (*session, string, error) {
	s, err := o.open(cmd)
	if err != nil {
		return nil, "", err
	}
	name := o.node
	if name == "" {
		if name, err = s.askedNode(); err != nil {
			return nil, "", err
		}
	}
	return s, "/api/v1/nodes/" + name + "/proxy/images", nil
}

// askedNode is the node that answers.
func (s *session) askedNode() (string, error) {
	var status node.Status
	if err := s.Into(s.ctx(), client.Request{Path: node.StatusPath}, &status); err != nil {
		return "", err
	}
	return status.Node, nil
}

func (o *imageOptions) load(cmd *cobra.Command, name string) error {
	archive, size := io.NopCloser(cmd.InOrStdin()), int64(-1)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a directory, not an image archive", name)
		}
		archive, size = file, info.Size()
	}
	s, path, err := o.images(cmd)
	if err != nil {
		return err
	}
	bar := newBar(cmd.ErrOrStderr(), size, "sending")
	var loaded []image
	err = s.Into(s.ctx(), client.Request{
		Method: http.MethodPost, Path: path + "/load", Body: bar.reader(archive), ContentType: "application/x-tar",
	}, &loaded)
	bar.clear()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(loaded) == 0 {
		return fmt.Errorf("%s holds no image for this node's platform", name)
	}
	for _, img := range loaded {
		s.say("Loaded image: %s", familiar(img.Ref))
	}
	return nil
}

func (o *imageOptions) list(cmd *cobra.Command, output string) error {
	if output != "" && output != "json" {
		return errors.New("unknown output format: there is json")
	}
	s, path, err := o.images(cmd)
	if err != nil {
		return err
	}
	var all []image
	if err := s.Into(s.ctx(), client.Request{Path: path}, &all); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b image) int { return strings.Compare(a.Ref, b.Ref) })
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), all)
	}
	p := table.Printer{Out: cmd.OutOrStdout()}
	p.Columns([]metav1.TableColumnDefinition{{Name: "Image"}, {Name: "Digest"}, {Name: "Size"}, {Name: "Age"}})
	var rows []table.Row
	for _, img := range all {
		age := "<unknown>"
		if !img.CreatedAt.IsZero() {
			age = duration.HumanDuration(time.Since(img.CreatedAt))
		}
		rows = append(rows, table.Row{Cells: []any{familiar(img.Ref), shortDigest(img.Digest), byteText(img.SizeBytes), age}})
	}
	return p.Print(rows)
}

func (o *imageOptions) remove(cmd *cobra.Command, names []string) error {
	s, path, err := o.images(cmd)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		_, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodDelete, Path: path, Query: url.Values{"ref": {name}}})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.say("Removed image: %s", name)
	}
	return failed(errs)
}

// familiar is an image's name as people write it.
func familiar(ref string) string {
	ref = strings.TrimPrefix(ref, "docker.io/")
	return strings.TrimPrefix(ref, "library/")
}

func shortDigest(digest string) string {
	const enough = len("sha256:") + 12
	return digest[:min(len(digest), enough)]
}

// byteText is a size in decimal units, as registries and disks count.
func byteText(n int64) string {
	size, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if size < 1000 {
			break
		}
		size, unit = size/1000, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, unit)
}
