package agent

import (
	"bytes"
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
	var tail bytes.Buffer
	lines := int64(maxLogMessageLines)
	if err := logs.Read(context.Background(), c.LogPath, logs.ReadOptions{TailLines: &lines}, &tail); err != nil {
		return ""
	}
	return string(tail.Bytes()[max(0, tail.Len()-maxLogMessage):])
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
