package describe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
)

// Namespace describes a namespace.
func (w *Writer) Namespace(ns *corev1.Namespace) {
	w.field(0, "Name", ns.Name)
	w.labels(ns)
	w.field(0, "Status", ns.Status.Phase)
	if len(ns.Status.Conditions) == 0 {
		return
	}
	var rows [][]string
	for _, c := range ns.Status.Conditions {
		rows = append(rows, []string{string(c.Type), string(c.Status), timeText(c.LastTransitionTime), c.Reason, c.Message})
	}
	w.line(0, "Conditions:")
	w.table(1, []string{"Type", "Status", "LastTransitionTime", "Reason", "Message"}, rows)
}

// ConfigMap describes a ConfigMap with its texts, and of binary data the size.
func (w *Writer) ConfigMap(c *corev1.ConfigMap) {
	w.meta(c)
	w.labels(c)
	w.line(0, "\nData\n====")
	for _, key := range slices.Sorted(maps.Keys(c.Data)) {
		w.line(0, "%s:\n----\n%s\n", key, strings.TrimSuffix(c.Data[key], "\n"))
	}
	w.line(0, "\nBinaryData\n====")
	for _, key := range slices.Sorted(maps.Keys(c.BinaryData)) {
		w.line(0, "%s: %d bytes", key, len(c.BinaryData[key]))
	}
	w.line(0, "")
}

// Secret describes a Secret without its values.
func (w *Writer) Secret(s *corev1.Secret) {
	w.meta(s)
	w.labels(s)
	w.line(0, "\nType:\t%s\n\nData\n====", s.Type)
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		w.field(0, key, fmt.Sprintf("%d bytes", len(s.Data[key])))
	}
}

// ServiceAccount describes a ServiceAccount.
func (w *Writer) ServiceAccount(sa *corev1.ServiceAccount) {
	w.meta(sa)
	w.labels(sa)
	var pull, mountable []string
	for _, s := range sa.ImagePullSecrets {
		pull = append(pull, s.Name)
	}
	for _, s := range sa.Secrets {
		mountable = append(mountable, s.Name)
	}
	w.list(0, "Image pull secrets", pull)
	w.list(0, "Mountable secrets", mountable)
}

// Any describes an object of any other kind: all of its fields.
func (w *Writer) Any(o map[string]any) {
	meta, _ := o["metadata"].(map[string]any)
	w.field(0, "Name", meta["name"])
	if ns, ok := meta["namespace"]; ok {
		w.field(0, "Namespace", ns)
	}
	rest := maps.Clone(meta)
	for _, key := range []string{"name", "namespace", "managedFields"} {
		delete(rest, key)
	}
	all := maps.Clone(o)
	all["metadata"] = rest
	w.tree(0, all)
}

// tree writes a map with a line for each value and a deeper level for each map and list in it.
func (w *Writer) tree(level int, m map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		w.value(level, title(key), m[key])
	}
}

func (w *Writer) value(level int, key string, value any) {
	switch v := value.(type) {
	case map[string]any:
		w.line(level, "%s:", key)
		w.tree(level+1, v)
	case []any:
		if len(v) == 0 {
			return
		}
		w.line(level, "%s:", key)
		for _, item := range v {
			if m, ok := item.(map[string]any); ok {
				w.tree(level+1, m)
			} else {
				w.line(level+1, "%v", item)
			}
		}
	default:
		w.field(level, key, v)
	}
}

// title makes "Pod CIDR" and "Node Name" of "podCIDR" and "nodeName".
func title(key string) string {
	var out []rune
	for i, r := range key {
		if i == 0 {
			r = unicode.ToUpper(r)
		} else if unicode.IsUpper(r) && unicode.IsLower(rune(key[i-1])) {
			out = append(out, ' ')
		}
		out = append(out, r)
	}
	return string(out)
}
