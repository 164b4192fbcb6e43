package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"covey.dev/covey/api/client"
)

// pullLine is one line of what a node tells while it pulls: the state of one layer, or how it ended.
type pullLine struct {
	Item   string `json:"item"`
	Status string `json:"status"`
	Offset int64  `json:"offset"`
	Total  int64  `json:"total"`
	Image  *image `json:"image"`
	// From are the nodes and registries that the image came from.
	From  []string `json:"from"`
	Error string   `json:"error"`
}

func (o *imageOptions) newPull() *cobra.Command {
	return &cobra.Command{
		Use:     "pull NAME",
		Short:   "Pull an image from other nodes or its registry to a node",
		Example: "  covey image pull docker.io/library/busybox:1.36",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.pull(cmd, args[0]) },
	}
}

func (o *imageOptions) pull(cmd *cobra.Command, name string) error {
	s, path, err := o.images(cmd)
	if err != nil {
		return err
	}
	resp, err := s.Stream(s.ctx(), client.Request{Method: http.MethodPost, Path: path + "/pull", Query: url.Values{"ref": {name}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	bar := newBar(cmd.ErrOrStderr(), -1, "pulling "+name)
	defer bar.clear()
	last, err := followPull(json.NewDecoder(resp.Body), bar)
	if s.ctx().Err() != nil {
		return s.ctx().Err()
	}
	if err != nil {
		return err
	}
	bar.clear()
	s.say("Pulled image: %s", familiar(last.Image.Ref))
	s.say("Digest: %s", last.Image.Digest)
	if len(last.From) > 0 {
		s.say("From: %s", strings.Join(last.From, ", "))
	}
	return nil
}

// followPull shows how the layers together come along, and returns the last line, which has the image.
func followPull(lines *json.Decoder, bar *bar) (*pullLine, error) {
	items := map[string]pullLine{}
	for {
		var line pullLine
		if err := lines.Decode(&line); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("the node stopped telling how it goes: %w", err)
		}
		switch {
		case line.Error != "":
			return nil, errors.New(line.Error)
		case line.Image != nil:
			return &line, nil
		}
		items[line.Item] = line
		var offset, total int64
		for _, item := range items {
			offset += item.Offset
			total += item.Total
		}
		bar.set(offset, total)
	}
}

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct{ shown *progressbar.ProgressBar }

// newBar begins a bar of so many bytes; -1 where that is not known.
func newBar(out io.Writer, size int64, what string) *bar {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return &bar{}
	}
	return &bar{shown: progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)}
}

func (b *bar) set(offset, total int64) {
	if b.shown == nil || total <= 0 {
		return
	}
	b.shown.ChangeMax64(max(total, offset+1)) // a full bar would end before the unpacking does
	_ = b.shown.Set64(offset)
}

func (b *bar) reader(from io.Reader) io.Reader {
	if b.shown == nil {
		return from
	}
	return io.TeeReader(from, b.shown)
}

func (b *bar) clear() {
	if b.shown != nil {
		_ = b.shown.Clear()
	}
}
