package manifest

import (
	"bytes"
	"testing"
)

// FuzzParse reads anything as a manifest: each object that comes out has a kind and a name, and nothing takes all memory.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems: [{kind: Pod, apiVersion: v1, metadata: {name: p}}]\n",
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}} {"kind":"x"}`, "a: &a [*a]", "--- |\n x\n...\n", "\xef\xbb\xbfkind: A", "kind: [\n", "- a\n- b\n",
		"{\"a\": 1e999}", "? a\n: b", "!!binary x", "kind: List\nitems: [[], null, {}]\n", "%YAML 1.1\n---\na: 1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parse("fuzz", bytes.Clone(data), func(o *Object, err error) bool {
			if err != nil {
				return true
			}
			if o.GVK.Kind == "" || o.GVK.Version == "" {
				t.Errorf("%q gives an object without a kind: %+v", data, o)
			}
			_ = o.String()
			return true
		})
	})
}
