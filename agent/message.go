package agent

import (
	"context"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/logs"
)

// What a termination message may be, in bytes and lines, as the kubelet has it.
const (
	maxMessage         = 4096
	maxLogMessage      = 2048
	maxLogMessageLines = 80
)

// readMessages reads what ended containers left as their last words, once each.
func (w *worker) readMessages(name string, list []Container) {
	spec := containerOf(w.currentPod(), name)
	for i := range list {
		c := &list[i]
		if _, known := w.messages[c.ID]; known || c.State != StateExited || spec == nil {
			continue
		}
		w.messages[c.ID] = w.readMessage(spec, c)
	}
}

func (w *worker) readMessage(spec *corev1.Container, c *Container) string {
	if words := lastWords(w.messageFile(c.Name, c.Attempt)); words != "" {
		return words
	}
	if spec.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || c.ExitCode == 0 {
		return ""
	}
	end := tail{most: maxLogMessage}
	lines := int64(maxLogMessageLines)
	if err := logs.Read(context.Background(), c.LogPath, logs.ReadOptions{TailLines: &lines}, &end); err != nil {
		return ""
	}
	return string(end.kept)
}

// tail keeps the end of what is written to it: a line may be as long as the log.
type tail struct {
	kept []byte
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	fresh := p[max(0, len(p)-t.most):]
	old := t.kept[max(0, len(t.kept)+len(fresh)-t.most):]
	t.kept = append(append(t.kept[:0], old...), fresh...)
	return len(p), nil
}

// lastWords reads the beginning of the file that a container left, and gives back what the rest takes, which nobody will read.
func lastWords(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxMessage))
	if err == nil {
		_ = os.Truncate(path, int64(len(data)))
	}
	return string(data)
}

func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers, ephemeral(pod)} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}
