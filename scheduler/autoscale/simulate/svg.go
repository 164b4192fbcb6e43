package simulate

import (
	"fmt"
	"io"
	"strings"
)

// The picture's measures, in its own units.
const (
	width, height     = 1000, 420
	left, right       = 60, 20
	top, bottom       = 70, 50
	plotWidth         = width - left - right
	plotHeight        = height - top - bottom
	mostPoints        = 1000
	gridLines, labels = 5, 6
)

var colours = []string{"#0b6e4f", "#c8553d", "#8d99ae"}

// SVG draws a result: the load and the estimate as the replicas that they are worth, and the replicas of each rule.
func (r *Result) SVG(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="16">%s: %s</text>`+"\n", left, escaped(r.Trace.Name), escaped(r.Trace.About))
	most := r.axis()
	r.grid(&b, most)
	covey := &r.Runs[0]
	line(&b, colours[2], 1, 0.8, scaled(covey.Load, r.Setup.Target), most)
	line(&b, "#222", 1, 1, scaled(covey.Estimate, r.Setup.Target), most)
	for i := range r.Runs {
		line(&b, colours[i], 2, 0.9, floats(r.Runs[i].Replicas), most)
	}
	r.legend(&b)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// axis is the greatest value to be drawn.
func (r *Result) axis() float64 {
	most := 1.0
	for _, run := range r.Runs {
		most = max(most, float64(run.Most))
	}
	for _, load := range r.Runs[0].Load {
		most = max(most, load/r.Setup.Target)
	}
	return most * 1.05
}

func (r *Result) grid(b *strings.Builder, most float64) {
	for i := range gridLines + 1 {
		value := most * float64(i) / gridLines
		y := top + plotHeight - plotHeight*float64(i)/gridLines
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`, left, y, width-right, y)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n", left-8, y+4, value)
	}
	for i := range labels + 1 {
		minutes := r.Trace.Length().Minutes() * float64(i) / labels
		x := left + plotWidth*float64(i)/labels
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f min</text>`+"\n", x, height-bottom+22, minutes)
	}
}

func (r *Result) legend(b *strings.Builder) {
	x := left
	for _, entry := range []struct{ colour, text string }{
		{colours[2], "load / target"}, {"#222", "estimate / target"}, {colours[0], "replicas, covey"}, {colours[1], "replicas, Kubernetes' rule"},
	} {
		fmt.Fprintf(b, `<rect x="%d" y="42" width="18" height="4" fill="%s"/><text x="%d" y="50">%s</text>`+"\n", x, entry.colour, x+24, entry.text)
		x += 190
	}
}

// line draws values over the whole width, as steps; of many it draws the greatest of each stretch.
func line(b *strings.Builder, colour string, stroke, opacity float64, values []float64, most float64) {
	if len(values) == 0 {
		return
	}
	per := (len(values) + mostPoints - 1) / mostPoints
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="%g" opacity="%g" points="`, colour, stroke, opacity)
	for i := 0; i < len(values); i += per {
		value := values[i]
		for _, v := range values[i:min(i+per, len(values))] {
			value = max(value, v)
		}
		y := top + plotHeight*(1-value/most)
		at := func(i int) float64 { return left + plotWidth*float64(min(i, len(values)))/float64(len(values)) }
		fmt.Fprintf(b, "%.1f,%.1f %.1f,%.1f ", at(i), y, at(i+per), y)
	}
	b.WriteString(`"/>` + "\n")
}

func scaled(values []float64, by float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v / by
	}
	return out
}

func floats(values []int32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
