package describe

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

const none = "<none>"

// Writer lays out lines of "Key:<tab>value" in columns, indented by level.
type Writer struct {
	tabs *tabwriter.Writer
	now  time.Time
}

// NewWriter writes to out; ages count until now. Flush when done.
func NewWriter(out io.Writer, now time.Time) *Writer {
	return &Writer{tabs: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0), now: now}
}

// Flush writes out what is held back for alignment.
func (w *Writer) Flush() error { return w.tabs.Flush() }

func (w *Writer) line(level int, format string, args ...any) {
	text := strings.Repeat("  ", level) + fmt.Sprintf(format, args...)
	fmt.Fprintln(w.tabs, strings.ReplaceAll(text, "\x1b", "^["))
}

// field writes a key and its value.
func (w *Writer) field(level int, key string, value any) {
	w.line(level, "%s:\t%v", key, value)
}

// optional is field for a value that is left out where it is empty.
func (w *Writer) optional(level int, key, value string) {
	if value != "" {
		w.field(level, key, value)
	}
}

// list writes values below each other in the second column.
func (w *Writer) list(level int, key string, values []string) {
	if len(values) == 0 {
		w.field(level, key, none)
		return
	}
	for i, value := range values {
		if i == 0 {
			w.field(level, key, value)
			continue
		}
		w.line(level, "\t%s", value)
	}
}

// pairs writes a map sorted by its keys.
func (w *Writer) pairs(level int, key, between string, m map[string]string) {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, k+between+m[k])
	}
	w.list(level, key, lines)
}

// table writes rows under a header with a line below it.
func (w *Writer) table(level int, header []string, rows [][]string) {
	rule := make([]string, len(header))
	for i, h := range header {
		rule[i] = strings.Repeat("-", len(h))
	}
	for _, row := range append([][]string{header, rule}, rows...) {
		w.line(level, "%s", strings.Join(row, "\t"))
	}
}

// meta begins every description.
func (w *Writer) meta(o metav1.Object) {
	w.field(0, "Name", o.GetName())
	if o.GetNamespace() != "" {
		w.field(0, "Namespace", o.GetNamespace())
	}
}

func (w *Writer) labels(o metav1.Object) {
	w.pairs(0, "Labels", "=", o.GetLabels())
	w.annotations(0, o.GetAnnotations())
}

func (w *Writer) annotations(level int, all map[string]string) {
	shown := maps.Clone(all)
	delete(shown, corev1.LastAppliedConfigAnnotation) // the whole manifest once more
	for k, v := range shown {
		if len(v) > 140 || strings.Contains(v, "\n") {
			shown[k] = strings.ReplaceAll(v[:min(len(v), 140)], "\n", " ") + "..."
		}
	}
	w.pairs(level, "Annotations", ": ", shown)
}

func (w *Writer) controller(o metav1.Object) {
	if owner := metav1.GetControllerOfNoCopy(o); owner != nil {
		w.field(0, "Controlled By", owner.Kind+"/"+owner.Name)
	}
}

func (w *Writer) age(t time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(w.now.Sub(t))
}

func timeText(t metav1.Time) string {
	if t.IsZero() {
		return "<unset>"
	}
	return t.Format(time.RFC1123Z)
}

// Events writes what happened to an object, oldest first.
func (w *Writer) Events(events []corev1.Event) {
	if len(events) == 0 {
		w.field(0, "Events", none)
		return
	}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b corev1.Event) int {
		// Within a second the order is that of the writes, which revisions count.
		return cmp.Or(lastSeen(&a).Compare(lastSeen(&b)), cmp.Compare(len(a.ResourceVersion), len(b.ResourceVersion)),
			strings.Compare(a.ResourceVersion, b.ResourceVersion))
	})
	rows := make([][]string, 0, len(events))
	for i := range events {
		e := &events[i]
		age, count := w.age(lastSeen(e)), e.Count
		if e.Series != nil {
			count = e.Series.Count
		}
		if count > 1 {
			age = fmt.Sprintf("%s (x%d over %s)", age, count, w.age(firstSeen(e)))
		}
		source := e.Source.Component
		if source == "" {
			source = e.ReportingController
		}
		rows = append(rows, []string{e.Type, e.Reason, age, source, strings.TrimSpace(e.Message)})
	}
	w.line(0, "Events:")
	w.table(1, []string{"Type", "Reason", "Age", "From", "Message"}, rows)
}

func firstSeen(e *corev1.Event) time.Time {
	if e.FirstTimestamp.IsZero() {
		return e.EventTime.Time
	}
	return e.FirstTimestamp.Time
}

func lastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	}
	return firstSeen(e)
}
