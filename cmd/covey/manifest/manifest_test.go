package manifest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// read gives what a source holds, an object as "Kind namespace/name" and an error as its text.
func read(t *testing.T, s Sources) []string {
	t.Helper()
	var got []string
	for o, err := range s.Objects(t.Context()) {
		if err != nil {
			got = append(got, "error: "+err.Error())
			continue
		}
		got = append(got, fmt.Sprintf("%s %s/%s", o.GVK.Kind, o.Namespace, o.Name))
	}
	return got
}

func TestDocuments(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string // each a part of what is read
	}{
		{"empty", "", nil},
		{"comments only", "# nothing\n---\n\n# here\n---\n", nil},
		{"one", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ns}\n", []string{"Pod ns/a"}},
		{"two, the first line a separator", "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n", []string{"Pod /a", "Pod /b"}},
		{"Windows line ends", "apiVersion: v1\r\nkind: Pod\r\nmetadata: {name: a}\r\n---\r\napiVersion: v1\r\nkind: Pod\r\nmetadata: {name: b}\r\n", []string{"Pod /a", "Pod /b"}},
		{"JSON", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}`, []string{"Pod /a", "Pod /b"}},
		{"flow YAML", `{apiVersion: v1, kind: Pod, metadata: {name: a}}`, []string{"Pod /a"}},
		{"list", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n", []string{"Pod /a", "Secret /b"}},
		{"no kind", "metadata: {name: a}\n", []string{"apiVersion not set, kind not set"}},
		{"not an object", "- a\n- b\n", []string{"found a list"}},
		{"wrong type", "apiVersion: v1\nkind: 7\n", []string{"kind: a number cannot stand here"}},
		{
			"a bad document does not hide the next, and lines count from the top", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nkind: Pod\n  bad: indent\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: c}\n",
			[]string{"Pod /a", `"-", document 2: not valid YAML: yaml: line 6`, "Pod /c"},
		},
		{"duplicate key", "apiVersion: v1\nkind: Pod\nkind: Secret\n", []string{"line 3"}},
		{"too large", "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: " + strings.Repeat("x", 10<<20), []string{"one object may have 3 MiB, this one has 10.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := read(t, Sources{Names: []string{"-"}, Stdin: strings.NewReader(tt.in)})
			if len(got) != len(tt.want) {
				t.Fatalf("read %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("read %q, want a part %q", got[i], tt.want[i])
				}
			}
		})
	}
}

// Together documents may have more than one alone.
func TestManyDocuments(t *testing.T) {
	doc := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: " + strings.Repeat("x", 20_000) + "}\n"
	got := read(t, Sources{Names: []string{"-"}, Stdin: strings.NewReader(strings.Repeat(doc, 200))})
	if len(got) != 200 || slices.ContainsFunc(got, func(s string) bool { return s != "ConfigMap /a" }) {
		t.Errorf("%d objects, want 200 without an error", len(got))
	}
}

func TestBillionLaughs(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("apiVersion: v1\nkind: ConfigMap\na0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n")
	for i := 1; i < 12; i++ {
		alias := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.Join(slices.Repeat([]string{alias}, 9), ","))
	}
	got := read(t, Sources{Names: []string{"-"}, Stdin: strings.NewReader(bomb.String())})
	if len(got) != 1 || !strings.Contains(got[0], "excessive aliasing") {
		t.Errorf("read %.300q, want one error about aliases", got)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yml", "README.md", "sub/c.json"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q}}`, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := read(t, Sources{Names: []string{dir}}), []string{"Pod /a.yml", "Pod /b.yaml"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	got := read(t, Sources{Names: []string{dir}, Recursive: true})
	if want := []string{"Pod /a.yml", "Pod /b.yaml", "Pod /sub/c.json"}; !slices.Equal(got, want) {
		t.Errorf("recursively read %q, want %q", got, want)
	}
	got = read(t, Sources{Names: []string{filepath.Join(dir, "missing.yaml"), t.TempDir()}})
	if len(got) != 2 || !strings.Contains(got[0], "does not exist") || !strings.Contains(got[1], "recognized file extensions") {
		t.Errorf("read %q", got)
	}
}

func TestStdinCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdin, keep, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	defer stdin.Close()
	cancel()
	for _, err := range (Sources{Names: []string{"-"}, Stdin: stdin}).Objects(ctx) {
		if err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
			t.Errorf("error %v, want a cancelled read", err)
		}
	}
}
