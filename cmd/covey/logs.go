package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/api/client"
)

// selectedTail is how many lines of each pod are shown where a selector picks them and --tail is not given.
const selectedTail = 10

type logsOptions struct {
	*options
	selection
	container     string
	allContainers bool
	follow        bool
	previous      bool
	timestamps    bool
	prefix        bool
	ignoreErrors  bool
	tail          int64
	limitBytes    int64
	since         time.Duration
	sinceTime     string
	maxRequests   int
}

// stream is the log of one container.
type stream struct {
	namespace, pod, container string
}

func newLogsCommand(base *options) *cobra.Command {
	o := &logsOptions{options: base}
	cmd := &cobra.Command{
		Use:               "logs (POD | TYPE/NAME | -l LABELS) [-c CONTAINER]",
		Aliases:           []string{"log"},
		Short:             "Show what the containers of a pod have printed",
		Example:           "  covey logs -f deploy/hello\n  covey logs hello-0 --previous --tail=20\n  covey logs -l app=hello --all-containers --prefix",
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
		ValidArgsFunction: base.completeOf("pods", "deployment/", "replicaset/"),
	}
	f := cmd.Flags()
	base.addFlags(f)
	o.addLabels(f)
	f.StringVarP(&o.container, "container", "c", "", "container, where the pod has several")
	f.BoolVar(&o.allContainers, "all-containers", false, "all containers of the pods")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on showing what is printed")
	f.BoolVarP(&o.previous, "previous", "p", false, "of the container's run before the last restart")
	f.BoolVar(&o.timestamps, "timestamps", false, "the time before each line")
	f.BoolVar(&o.prefix, "prefix", false, "pod and container before each line")
	f.BoolVar(&o.ignoreErrors, "ignore-errors", false, "go on with the other logs when one cannot be read")
	f.Int64Var(&o.tail, "tail", -1, "only so many of the last lines; -1: all, or 10 with a selector")
	f.Int64Var(&o.limitBytes, "limit-bytes", 0, "at most so many bytes; 0: all")
	f.DurationVar(&o.since, "since", 0, "only what is younger, such as 5s, 2m or 3h")
	f.StringVar(&o.sinceTime, "since-time", "", "only what came after, such as 2026-11-23T10:00:00Z")
	f.IntVar(&o.maxRequests, "max-log-requests", 5, "how many logs may be followed at once")
	return cmd
}

func (o *logsOptions) run(cmd *cobra.Command, args []string) error {
	query, err := o.query(cmd.Flags().Changed("tail"))
	if err != nil {
		return err
	}
	if len(args) == 2 && o.container == "" {
		o.container, args = args[1], args[:1]
	}
	if len(args) == 1 == (o.labels != "") || len(args) > 1 {
		return errors.New("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]' or a selector.\nPOD or TYPE/NAME is a required argument for the logs command")
	}
	s, err := o.open(cmd)
	if err != nil {
		return err
	}
	streams, err := o.streams(s, args)
	if err != nil {
		return err
	}
	if len(streams) == 0 {
		s.noteNothingFound(false)
		return nil
	}
	if o.follow && len(streams) > o.maxRequests {
		return fmt.Errorf("you are attempting to follow %d log streams, but maximum allowed concurrency is %d, use --max-log-requests to increase the limit",
			len(streams), o.maxRequests)
	}
	return o.show(s, streams, query)
}

func (o *logsOptions) query(tailGiven bool) (url.Values, error) {
	q := url.Values{}
	for name, on := range map[string]bool{"follow": o.follow, "previous": o.previous, "timestamps": o.timestamps} {
		if on {
			q.Set(name, "true")
		}
	}
	if o.labels != "" && !tailGiven {
		o.tail = selectedTail
	}
	switch {
	case o.tail < -1:
		return nil, errors.New("--tail must be greater than or equal to -1")
	case o.tail >= 0:
		q.Set("tailLines", strconv.FormatInt(o.tail, 10))
	}
	if o.limitBytes < 0 || o.since < 0 {
		return nil, errors.New("--limit-bytes and --since must be greater than 0")
	}
	if o.limitBytes > 0 {
		q.Set("limitBytes", strconv.FormatInt(o.limitBytes, 10))
	}
	if o.since > 0 && o.sinceTime != "" {
		return nil, errors.New("at most one of `sinceTime` or `sinceSeconds` may be specified")
	}
	if o.since > 0 {
		seconds := (o.since + time.Second - 1) / time.Second // the server counts whole ones
		q.Set("sinceSeconds", strconv.FormatInt(int64(seconds), 10))
	}
	if o.sinceTime != "" {
		if _, err := time.Parse(time.RFC3339, o.sinceTime); err != nil {
			return nil, fmt.Errorf("--since-time: %w", err)
		}
		q.Set("sinceTime", o.sinceTime)
	}
	return q, nil
}

func (o *logsOptions) streams(s *session, args []string) ([]stream, error) {
	var pods []corev1.Pod
	if o.labels != "" {
		found, err := s.pods(s.Namespace, o.selection.query())
		if err != nil {
			return nil, err
		}
		pods = found
	} else {
		pod, err := s.podFor(args[0])
		if err != nil {
			return nil, err
		}
		pods = []corev1.Pod{*pod}
	}
	var all []stream
	for i := range pods {
		p := &pods[i]
		if o.allContainers {
			for _, name := range containerNames(p) {
				all = append(all, stream{p.Namespace, p.Name, name})
			}
			continue
		}
		name, err := s.containerFor(p, o.container, o.labels != "")
		if err != nil {
			return nil, err
		}
		all = append(all, stream{p.Namespace, p.Name, name})
	}
	return all, nil
}

// show prints the logs one after the other, or all at once while they are followed.
func (o *logsOptions) show(s *session, streams []stream, query url.Values) error {
	out := &lineWriter{out: s.cmd.OutOrStdout()}
	if !o.follow || len(streams) == 1 {
		for _, st := range streams {
			if err := o.copy(s.ctx(), s, st, query, out, len(streams) == 1); err != nil {
				return err
			}
		}
		return nil
	}
	group, ctx := errgroup.WithContext(s.ctx())
	for _, st := range streams {
		group.Go(func() error { return o.copy(ctx, s, st, query, out, false) })
	}
	return group.Wait()
}

// copy prints one log. A log alone goes through as it is, so that half a line shows at once.
func (o *logsOptions) copy(ctx context.Context, s *session, st stream, query url.Values, out *lineWriter, alone bool) error {
	r, err := s.lookup("pods")
	if err != nil {
		return err
	}
	q := url.Values{"container": {st.container}}
	for name, values := range query {
		q[name] = values
	}
	resp, err := s.Stream(ctx, client.Request{Path: r.Path(st.namespace, st.pod, "log"), Query: q, Accept: "*/*"})
	if err != nil {
		if o.ignoreErrors && ctx.Err() == nil {
			return out.line(client.Explain(err) + "\n")
		}
		return err
	}
	defer resp.Body.Close()
	if alone && !o.prefix {
		_, err = io.Copy(out.out, resp.Body)
	} else {
		err = out.copyLines(resp.Body, o.prefixOf(st))
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("read the log of pod %s: %w", st.pod, err)
	}
	return nil
}

func (o *logsOptions) prefixOf(st stream) string {
	if !o.prefix {
		return ""
	}
	return fmt.Sprintf("[pod/%s/%s] ", st.pod, st.container)
}

// lineWriter keeps the lines of several logs whole.
type lineWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lineWriter) line(text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.out, text)
	return err
}

func (w *lineWriter) copyLines(from io.Reader, prefix string) error {
	lines := bufio.NewReader(from)
	for {
		text, err := lines.ReadString('\n')
		if text != "" {
			if !strings.HasSuffix(text, "\n") {
				text += "\n"
			}
			if err := w.line(prefix + text); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
