package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/manifest"
)

// pageSize is how many objects are asked for at once.
const pageSize = "500"

// selection is what a command acts on, beside its arguments.
type selection struct {
	files         []string
	recursive     bool
	labels        string
	fields        string
	all           bool
	allNamespaces bool
}

func (sel *selection) addFiles(f *pflag.FlagSet) {
	f.StringSliceVarP(&sel.files, "filename", "f", nil, "file, directory or URL with manifests; - is the standard input")
	f.BoolVarP(&sel.recursive, "recursive", "R", false, "read the directories below directories too")
}

func (sel *selection) addLabels(f *pflag.FlagSet) {
	f.StringVarP(&sel.labels, "selector", "l", "", "objects with these labels, such as app=web,tier!=test")
}

func (sel *selection) addFields(f *pflag.FlagSet) {
	f.StringVar(&sel.fields, "field-selector", "", "objects with these fields, such as status.phase=Running")
}

func (sel *selection) query() url.Values {
	q := url.Values{"limit": {pageSize}}
	if sel.labels != "" {
		q.Set("labelSelector", sel.labels)
	}
	if sel.fields != "" {
		q.Set("fieldSelector", sel.fields)
	}
	return q
}

// target is one object, or all of a kind that are selected where it has no name.
type target struct {
	*client.Resource
	namespace, name string
}

// path is where the object is served, or a subresource of it.
func (t target) path(below ...string) string {
	if t.name == "" {
		panic("the path of one object was asked for, and there is no name") // rather than that of all of them
	}
	return t.Path(t.namespace, append([]string{t.name}, below...)...)
}

// collection is where all objects of the kind are served.
func (t target) collection() string { return t.Path(t.namespace) }

// object names it in messages: "deployment.apps/hello".
func (t target) object() string { return t.Object(t.name) }

// targets reads what the command line names: TYPE, TYPE NAME..., TYPE/NAME... or the objects in files.
func (s *session) targets(args []string, sel *selection) ([]target, error) {
	if len(sel.files) > 0 {
		if len(args) > 0 || sel.labels != "" || sel.all {
			return nil, errors.New("when -f is given, neither names nor a selector may be")
		}
		return s.fileTargets(sel)
	}
	if len(args) == 0 {
		return nil, errors.New("you must say which objects: TYPE NAME, TYPE/NAME, TYPE -l LABELS or -f FILE")
	}
	kinds, err := s.served()
	if err != nil {
		return nil, err
	}
	named, err := parseArgs(kinds, args)
	if err != nil {
		return nil, err
	}
	for i := range named {
		if named[i].name != "" && (sel.labels != "" || sel.all) {
			return nil, errors.New("a name cannot be given together with a selector or --all")
		}
		if named[i].name != "" && sel.allNamespaces {
			return nil, errors.New("a resource cannot be retrieved by name across all namespaces")
		}
		if named[i].Namespaced && !sel.allNamespaces {
			named[i].namespace = s.Namespace
		}
	}
	return named, nil
}

// parseArgs finds the kinds and names in the arguments; which namespace is not decided yet.
func parseArgs(kinds client.Resources, args []string) ([]target, error) {
	if strings.Contains(args[0], "/") {
		var all []target
		for _, arg := range args {
			typ, name, ok := strings.Cut(arg, "/")
			if !ok || typ == "" || name == "" || strings.Contains(name, "/") {
				return nil, fmt.Errorf("arguments in resource/name form must all be so, and %q is not", arg)
			}
			if err := checkName(name); err != nil {
				return nil, err
			}
			r, err := kinds.Lookup(typ)
			if err != nil {
				return nil, err
			}
			all = append(all, target{Resource: r, name: name})
		}
		return all, nil
	}
	found, err := kinds.LookupAll(args[0])
	if err != nil {
		return nil, err
	}
	var all []target
	for _, r := range found {
		if len(args) == 1 {
			all = append(all, target{Resource: r})
		}
		for _, name := range args[1:] {
			if strings.Contains(name, "/") {
				return nil, errors.New("there is no need to specify a resource type as a separate argument when passing arguments in resource/name form")
			}
			if err := checkName(name); err != nil {
				return nil, err
			}
			all = append(all, target{Resource: r, name: name})
		}
	}
	return all, nil
}

// checkName refuses a name that no object has, and that would make the path of the object one of something else.
func checkName(name string) error {
	if name == "" {
		return errors.New("resource name may not be empty")
	}
	if problems := content.IsPathSegmentName(name); len(problems) > 0 {
		return fmt.Errorf("invalid resource name %q: %s", name, strings.Join(problems, ", "))
	}
	return nil
}

// checkNamespace is checkName for a namespace; none is given where it is empty.
func checkNamespace(name string) error {
	if problems := content.IsPathSegmentName(name); len(problems) > 0 {
		return fmt.Errorf("invalid namespace %q: %s", name, strings.Join(problems, ", "))
	}
	return nil
}

func (s *session) fileTargets(sel *selection) ([]target, error) {
	var all []target
	var errs []error
	for o, err := range s.objects(sel) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t, err := s.targetOf(o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, t)
	}
	if len(errs) == 0 && len(all) == 0 {
		return nil, errors.New("no objects in the files")
	}
	return all, failed(errs)
}

// objects reads the manifests of the command line.
func (s *session) objects(sel *selection) func(func(*manifest.Object, error) bool) {
	return manifest.Sources{Names: sel.files, Recursive: sel.recursive, Stdin: s.cmd.InOrStdin()}.Objects(s.ctx())
}

// targetOf finds where an object of a manifest belongs.
func (s *session) targetOf(o *manifest.Object) (target, error) {
	kinds, err := s.served()
	if err != nil {
		return target{}, err
	}
	r, err := kinds.ForKind(o.GVK)
	if err != nil {
		return target{}, fmt.Errorf("%s: %w", o, err)
	}
	if o.Name == "" {
		return target{}, fmt.Errorf("%s in %s: metadata.name not set", o.GVK.Kind, o.Where)
	}
	if err := errors.Join(checkName(o.Name), checkNamespace(o.Namespace)); err != nil {
		return target{}, fmt.Errorf("%s: %w", o, err)
	}
	t := target{Resource: r, name: o.Name}
	if !r.Namespaced {
		return t, nil
	}
	t.namespace = s.Namespace
	if o.Namespace != "" && o.Namespace != s.Namespace {
		if f := s.cmd.Flags().Lookup("namespace"); f != nil && f.Value.String() != "" {
			return target{}, fmt.Errorf("%s: the namespace from the provided object %q does not match the namespace %q. You must pass '--namespace=%s' to perform this operation",
				o, o.Namespace, s.Namespace, o.Namespace)
		}
		t.namespace = o.Namespace
	}
	return t, nil
}

// each gives one target for each object that the targets select, by asking the server about those without a name.
func (s *session) each(targets []target, sel *selection) ([]target, error) {
	var all []target
	for _, t := range targets {
		if t.name != "" {
			all = append(all, t)
			continue
		}
		err := s.list(t, sel.query(), func(raw json.RawMessage) error {
			var meta metav1.PartialObjectMetadata
			if err := json.Unmarshal(raw, &meta); err != nil {
				return fmt.Errorf("decode a member of %s: %w", t.Plural, err)
			}
			all = append(all, target{Resource: t.Resource, namespace: meta.Namespace, name: meta.Name})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// list hands out the selected objects of a kind, page by page.
func (s *session) list(t target, query url.Values, item func(json.RawMessage) error) error {
	for {
		var page struct {
			metav1.ListMeta `json:"metadata"`
			Items           []json.RawMessage `json:"items"`
		}
		if err := s.Into(s.ctx(), client.Request{Path: t.collection(), Query: query}, &page); err != nil {
			return err
		}
		for _, raw := range page.Items {
			if err := item(raw); err != nil {
				return err
			}
		}
		if page.Continue == "" {
			return nil
		}
		query.Set("continue", page.Continue)
	}
}

// get decodes one object into out.
func (s *session) get(t target, out any) error {
	return s.Into(s.ctx(), client.Request{Path: t.path()}, out)
}
