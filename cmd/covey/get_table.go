package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/table"
)

// tableBlock is the table of one kind: rows are gathered, then printed at once.
type tableBlock struct {
	opts     *getOptions
	resource *client.Resource
	prefixed bool // names come with their kind, since there are several
	printer  *table.Printer
	rows     []table.Row
	revision string // of the last list
}

func (o *getOptions) newTable(s *session, r *client.Resource, prefixed bool) *tableBlock {
	p := &table.Printer{Out: s.cmd.OutOrStdout(), Wide: o.output == "wide", NoHeaders: o.noHeaders}
	if o.allNamespaces && r.Namespaced {
		p.Before = []string{"NAMESPACE"}
	}
	for _, label := range o.labelColumns {
		p.After = append(p.After, strings.ToUpper(label[strings.LastIndex(label, "/")+1:]))
	}
	if o.showLabels {
		p.After = append(p.After, "LABELS")
	}
	return &tableBlock{opts: o, resource: r, prefixed: prefixed, printer: p}
}

// load adds the rows of a target, page by page.
func (b *tableBlock) load(s *session, t target, query url.Values) error {
	path := t.collection()
	if t.name != "" {
		path, query = t.path(), nil
	}
	for {
		var page metav1.Table
		if err := s.Into(s.ctx(), client.Request{Path: path, Query: query, Accept: client.Table}, &page); err != nil {
			return err
		}
		if err := b.add(&page); err != nil {
			return err
		}
		b.revision = page.ResourceVersion
		if page.Continue == "" {
			return nil
		}
		query.Set("continue", page.Continue)
	}
}

// event prints the rows of a watch event at once.
func (b *tableBlock) event(raw json.RawMessage) error {
	var t metav1.Table
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("decode an event: %w", err)
	}
	b.rows = nil
	if err := b.add(&t); err != nil {
		return err
	}
	return b.flush()
}

func (b *tableBlock) flush() error {
	if len(b.rows) == 0 {
		return nil
	}
	return b.printer.Print(b.rows)
}

func (b *tableBlock) add(t *metav1.Table) error {
	if t.Kind != "Table" {
		return fmt.Errorf("the server gave a %s of %s where a Table was asked for", t.Kind, b.resource.Plural)
	}
	b.printer.Columns(t.ColumnDefinitions)
	for _, r := range t.Rows {
		var meta metav1.PartialObjectMetadata
		if len(r.Object.Raw) > 0 {
			if err := json.Unmarshal(r.Object.Raw, &meta); err != nil {
				return fmt.Errorf("decode a row of %s: %w", b.resource.Plural, err)
			}
		}
		b.rows = append(b.rows, b.row(r.Cells, &meta))
	}
	return nil
}

func (b *tableBlock) row(cells []any, meta *metav1.PartialObjectMetadata) table.Row {
	row := table.Row{Cells: cells}
	if b.prefixed && len(cells) > 0 {
		row.Cells = append([]any{b.resource.Object(fmt.Sprint(cells[0]))}, cells[1:]...)
	}
	if len(b.printer.Before) > 0 {
		row.Before = []string{meta.Namespace}
	}
	for _, label := range b.opts.labelColumns {
		row.After = append(row.After, meta.Labels[label])
	}
	if b.opts.showLabels {
		row.After = append(row.After, labels.FormatLabels(meta.Labels))
	}
	return row
}
