package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// A paint is the colour of a box. Text on it is dark, so that it can be read on light and dark pages.
type paint string

const (
	orange paint = "#ffd08a"
	blue   paint = "#cfe2ff"
	green  paint = "#bfe8c8"
	grey   paint = "#d9dce1"
)

// Sizes in pixels.
const (
	boxWidth, boxHeight = 190, 42
	gapX, gapY          = 46, 14
	top, side           = 64, 10
)

// An svg is a picture that is being drawn. Lines and text outside of boxes have a grey that can be read on white and on
// black.
type svg struct{ strings.Builder }

func newSVG(title string, width, height float64) *svg {
	s := &svg{}
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%[1]g" height="%[2]g" role="img" font-family="system-ui, sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(s, "<title>%s</title>\n", html.EscapeString(title))
	s.WriteString(`<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#808890"/></marker></defs>` + "\n")
	return s
}

func (s *svg) end() string {
	s.WriteString("</svg>\n")
	return s.String()
}

// box draws a box around lines of text. Its middle is at x and y.
func (s *svg) box(p paint, x, y, width, height float64, lines ...string) {
	fmt.Fprintf(s, `<rect x="%g" y="%g" width="%g" height="%g" rx="6" fill="%s" stroke="#808890"/>`+"\n", x-width/2, y-height/2, width, height, p)
	for i, line := range lines {
		fmt.Fprintf(s, `<text x="%g" y="%g" text-anchor="middle" fill="#1b1f24">%s</text>`+"\n", x, y+4.5+16*(float64(i)-float64(len(lines)-1)/2), html.EscapeString(line))
	}
}

// text draws a line of text outside of boxes.
func (s *svg) text(x, y float64, anchor, weight, line string) {
	fmt.Fprintf(s, `<text x="%g" y="%g" text-anchor="%s" font-weight="%s" fill="#808890">%s</text>`+"\n", x, y, anchor, weight, html.EscapeString(line))
}

// arrow draws a curve that starts and ends horizontally. A long one bends near its end, where there are no boxes.
func (s *svg) arrow(x1, y1, x2, y2 float64) {
	bend := max(x1, x2-gapX)
	mid := (bend + x2) / 2
	fmt.Fprintf(s, `<path d="M%g %gH%gC%g %g %g %g %g %g" fill="none" stroke="#808890" stroke-width="1.5" marker-end="url(#head)"/>`+"\n", x1, y1, bend, mid, y1, mid, y2, x2, y2)
}

// picture draws a graph from left to right, with a legend of the colours.
func (g graph) picture(title string, by func(*node) (paint, string)) string {
	columns, rows := 0, 0.0
	for _, n := range g {
		columns, rows = max(columns, n.column+1), max(rows, n.row+0.5)
	}
	x := func(n *node) float64 { return side + boxWidth/2 + float64(n.column)*(boxWidth+gapX) }
	y := func(n *node) float64 { return top + n.row*(boxHeight+gapY) }
	s := newSVG(title, 2*side+float64(columns)*(boxWidth+gapX)-gapX, top+rows*(boxHeight+gapY))
	s.text(side, 20, "start", "bold", title)
	for _, n := range g {
		for _, to := range n.to {
			s.arrow(x(n)+boxWidth/2, y(n), x(to)-boxWidth/2, y(to))
		}
	}
	var legend []string
	for _, n := range g {
		p, says := by(n)
		s.box(p, x(n), y(n), boxWidth, boxHeight, label(n.name)...)
		if !slices.Contains(legend, says) {
			left := side + float64(len(legend))*170
			fmt.Fprintf(s, `<rect x="%g" y="34" width="14" height="14" rx="3" fill="%s" stroke="#808890"/>`+"\n", left, p)
			s.text(left+20, 46, "start", "normal", says)
			legend = append(legend, says)
		}
	}
	return s.end()
}
