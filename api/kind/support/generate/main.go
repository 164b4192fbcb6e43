// Command generate writes docs/fields.md from the tables of package support: it says of each field of each kind what covey
// does with it.
package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/api/kind/support"
)

func main() {
	out := flag.String("out", "docs/fields.md", "the file to write")
	flag.Parse()
	if err := os.WriteFile(*out, []byte(document(kind.All())), 0o644); err != nil { //nolint:gosec // a page to read
		fmt.Fprintln(os.Stderr, "write the page:", err)
		os.Exit(1)
	}
}

const introduction = `# Kinds and fields

<!-- Made by go generate ./api/kind/support from the tables there. Do not edit. -->

What covey serves, and what it does with each field:

- **acted on**: it means what it means in Kubernetes.
- **warned of**: it is stored and shown, and has no effect. Whoever sets it gets a ` + "`Warning:`" + ` that names it, unless the value
  asks for what happens anyway.
- **refused**: an object that sets it is invalid, and the error names it.

A field that Kubernetes does not know is an error or a warning, as the client asks (kubectl: ` + "`--validate`" + `). Kinds that are not
listed do not exist here: kubectl says that the server does not have them. Objects that servers make for one request
(Scale, reviews, options) are not listed.
`

// document is the page about kinds.
func document(kinds []*kind.Kind) string {
	p := &page{done: map[reflect.Type]bool{}}
	p.WriteString(introduction)
	p.WriteString("\n| kind | resource | short names | subresources |\n| --- | --- | --- | --- |\n")
	for _, k := range kinds {
		fmt.Fprintf(p, "| [%s](#%s) %s | %s | %s | %s |\n", k.GVK.Kind, strings.ToLower(k.GVK.Kind), k.GVK.GroupVersion(), k.Plural,
			strings.Join(k.ShortNames, ", "), strings.Join(subresources(k), ", "))
	}
	for _, k := range kinds {
		fmt.Fprintf(p, "\n## %s\n", k.GVK.Kind)
		fmt.Fprintf(p, "\nField selectors: `%s`.\n", strings.Join(k.FieldNames, "`, `"))
		p.table(reflect.TypeOf(k.New()).Elem())
	}
	return p.String()
}

func subresources(k *kind.Kind) []string {
	var out []string
	if k.HasStatus {
		out = append(out, "status")
	}
	if k.Scale != nil {
		out = append(out, "scale")
	}
	switch k.Resource() {
	case "pods":
		out = append(out, "log", "exec")
	case "namespaces":
		out = append(out, "finalize")
	}
	return out
}

type page struct {
	strings.Builder
	done map[reflect.Type]bool
}

// table writes the rules of a type and then, each once on the page, those of the types of its fields.
func (p *page) table(t reflect.Type) {
	p.done[t] = true
	p.WriteString("\n| field | covey | |\n| --- | --- | --- |\n")
	for _, r := range merge(rows(t)) {
		fmt.Fprintf(p, "| `%s` | %s | %s |\n", strings.Join(r.fields, "`, `"), r.does, r.note)
	}
	for _, next := range inner(t) {
		if !p.done[next] {
			fmt.Fprintf(p, "\n### %s\n", next.Name())
			p.table(next)
		}
	}
}

type row struct {
	fields     []string
	does, note string
}

// rows has one row for each field of t, those of embedded structs included.
func rows(t reflect.Type) []row {
	var out []row
	for i := range t.NumField() {
		f := t.Field(i)
		name := support.Name(f)
		if name == "" {
			out = append(out, rows(f.Type)...)
			continue
		}
		rule, ok := support.Tables()[t][name]
		if !ok {
			continue // apiVersion and kind
		}
		does, note := rule.Level.String(), rule.Note
		if rule.Part {
			does = "acted on in part, else " + does
		}
		if of := structOf(f.Type); of != nil && rule.Level == support.Acted {
			note = strings.TrimSpace(fmt.Sprintf("See [%s](#%s). %s", of.Name(), strings.ToLower(of.Name()), note))
		}
		out = append(out, row{[]string{name}, does, sentence(note)})
	}
	return out
}

// merge puts the fields of which the same is to be said into one row, where the first of them is.
func merge(all []row) []row {
	var out []row
	for _, r := range all {
		at := slices.IndexFunc(out, func(o row) bool { return r.note != "" && o.does == r.does && o.note == r.note })
		if at < 0 {
			out = append(out, r)
			continue
		}
		out[at].fields = append(out[at].fields, r.fields...)
	}
	return out
}

// inner are the types with tables of the fields of t that covey acts on.
func inner(t reflect.Type) []reflect.Type {
	var out []reflect.Type
	for i := range t.NumField() {
		f := t.Field(i)
		name := support.Name(f)
		if name == "" {
			out = append(out, inner(f.Type)...)
		} else if of := structOf(f.Type); of != nil && support.Tables()[t][name].Level == support.Acted {
			out = append(out, of)
		}
	}
	return out
}

// structOf is the struct type with a table that a field holds, or a list of; nil when there is none.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if _, ok := support.Tables()[t]; ok {
		return t
	}
	return nil
}

// sentence is a note as a sentence, for a cell of a table.
func sentence(note string) string {
	if note == "" {
		return ""
	}
	note = strings.ToUpper(note[:1]) + note[1:]
	if !strings.HasSuffix(note, ".") {
		note += "."
	}
	return strings.ReplaceAll(note, "|", `\|`)
}
