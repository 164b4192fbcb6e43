package support

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Level is what covey does with a field.
type Level int

// A field that is Acted on does what Kubernetes says it does. One that is Warned of is stored, shown, and otherwise
// without effect. One that is Refused makes the object invalid.
const (
	Acted Level = iota
	Warned
	Refused
)

func (l Level) String() string {
	return [...]string{"acted on", "warned of", "refused"}[l]
}

// Rule is a table's word on one field.
type Rule struct {
	Level Level
	Note  string // what a user should know; "" where there is nothing to add
	Part  bool   // some values are acted on, and the level is for the others
	// fine tells where a Warned or Refused field needs no word, because it asks for what happens anyway. Nil means that no
	// value but zero does.
	fine func(setting) bool
}

// setting is a field that is set.
type setting struct {
	value any // without its pointer
	owner any // the struct that has the field
}

// Table has the rules of a struct type by the names of its fields in JSON.
type Table map[string]Rule

func acted(note ...string) Rule { return Rule{Level: Acted, Note: strings.Join(note, " ")} }
func warned(note string) Rule   { return Rule{Level: Warned, Note: note} }
func refused(note string) Rule  { return Rule{Level: Refused, Note: note} }

// unless makes the rule say nothing about one of these values.
func (r Rule) unless(values ...any) Rule {
	r.fine = func(s setting) bool { return slices.Contains(values, s.value) }
	return r
}

// when makes the rule say nothing but about what the condition is true of.
func when[O, V any](r Rule, condition func(owner O, value V) bool) Rule {
	r.fine = func(s setting) bool { return !condition(s.owner.(O), s.value.(V)) }
	return r
}

// inPart says that the values which need no word are acted on.
func (r Rule) inPart() Rule {
	r.Part = true
	return r
}

// Warnings names the fields of obj, a pointer to an API object, that covey does not act on.
func Warnings(obj any) []string {
	var out []string
	walk(obj, func(path *field.Path, r Rule) {
		if r.Level == Warned {
			out = append(out, path.String()+": covey does not act on this field: "+r.Note)
		}
	})
	return out
}

// Refusals are the errors for fields of obj, a pointer to an API object, that covey refuses.
func Refusals(obj any) field.ErrorList {
	var out field.ErrorList
	walk(obj, func(path *field.Path, r Rule) {
		if r.Level == Refused {
			out = append(out, field.Forbidden(path, "covey does not support this: "+r.Note))
		}
	})
	return out
}
