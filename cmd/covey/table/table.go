// Package table prints the Tables that the API server makes. In goes a Table at a time, all of one list or one row of a
// watch; out come aligned lines. The get command calls it.
package table

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	minWidth = 6 // of a column with the space behind it, in characters
	padding  = 3
)

// Row is one line to print: what stands before the cells and behind them, and the cells of the server.
type Row struct {
	Before []string
	Cells  []any
	After  []string
}

// Printer prints rows under one header. Its columns only grow wider, so that the rows of a watch stay in line.
type Printer struct {
	Out       io.Writer
	Wide      bool // columns of lower priority too
	NoHeaders bool
	// Before and After are the headers of columns that are not the server's.
	Before, After []string

	columns []metav1.TableColumnDefinition
	widths  []int
}

// Columns sets the server's columns; without any those of before stay. Other ones than before begin a new header.
func (p *Printer) Columns(columns []metav1.TableColumnDefinition) {
	if len(columns) == 0 {
		return
	}
	same := len(columns) == len(p.columns)
	for i := 0; same && i < len(columns); i++ {
		same = columns[i].Name == p.columns[i].Name
	}
	if !same {
		p.columns, p.widths = columns, nil
	}
}

// Print prints rows, with the header above the first of all.
func (p *Printer) Print(rows []Row) error {
	var lines [][]string
	if p.widths == nil && !p.NoHeaders {
		lines = append(lines, p.header())
	}
	for _, row := range rows {
		lines = append(lines, p.line(row))
	}
	for _, line := range lines {
		p.widen(line)
	}
	var out strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			out.WriteString(cell)
			if i < len(line)-1 {
				out.WriteString(strings.Repeat(" ", p.widths[i]-utf8.RuneCountInString(cell)))
			}
		}
		out.WriteByte('\n')
	}
	_, err := io.WriteString(p.Out, out.String())
	return err
}

func (p *Printer) header() []string {
	line := append([]string{}, p.Before...)
	for _, c := range p.columns {
		if p.shows(c) {
			line = append(line, strings.ToUpper(c.Name))
		}
	}
	return append(line, p.After...)
}

func (p *Printer) line(row Row) []string {
	line := append([]string{}, row.Before...)
	for i, c := range p.columns {
		if p.shows(c) && i < len(row.Cells) {
			line = append(line, text(row.Cells[i]))
		}
	}
	return append(line, row.After...)
}

func (p *Printer) shows(c metav1.TableColumnDefinition) bool { return c.Priority == 0 || p.Wide }

func (p *Printer) widen(line []string) {
	for len(p.widths) < len(line) {
		p.widths = append(p.widths, minWidth)
	}
	for i, cell := range line {
		p.widths[i] = max(p.widths[i], utf8.RuneCountInString(cell)+padding)
	}
}

// text is a cell on one line, without what a terminal would take for a command.
func text(cell any) string {
	if cell == nil {
		return "<none>"
	}
	s := fmt.Sprint(cell)
	if f, ok := cell.(float64); ok { // how JSON gives whole numbers
		s = fmt.Sprintf("%.0f", f)
	}
	s, _, cut := strings.Cut(s, "\n")
	if cut {
		s += "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
