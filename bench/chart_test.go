//go:build bench

package bench

import (
	"fmt"
	"math"
	"strings"
)

// A bar is a row of the chart.
type bar struct {
	label       string
	ratio, goal float64
}

// chart draws the ratios, with a line where Larder takes as long as its best peer, and a mark at what it is to reach.
func chart(bars []bar) string {
	const row, left, unit = 26, 480, 320
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+unit*3/2+60, row*(len(bars)+1))
	for i, r := range bars {
		y, width, goal := i*row, int(min(r.ratio, 1.5)*unit), left+int(r.goal*unit)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%d" height="%d" fill="#3b7a57"/><text x="%d" y="%d">%.2f</text><line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#c33" stroke-width="2"/>`+"\n",
			left-8, y+17, r.label, left, y+4, width, row-8, left+width+6, y+17, r.ratio, goal, y+2, goal, y+row-2)
	}
	fmt.Fprintf(&b, `<line x1="%d" y1="0" x2="%d" y2="%d" stroke="#999" stroke-dasharray="4"/><text x="%d" y="%d" fill="#666">1.0: the best peer; red: to reach</text>`+"\n</svg>\n",
		left+unit, left+unit, row*len(bars), left+unit-90, row*len(bars)+17)
	return b.String()
}

// isGrown reports whether a name is of an input of grown.
func isGrown(name string) bool {
	return strings.HasSuffix(name, " modules") || strings.HasSuffix(name, " packages")
}

// growthChart draws the seconds of each generated tree over its size, both in powers of ten: a line that rises by one
// square for each is linear growth.
func growthChart(tables []*table) string {
	const square, left, height = 140, 60, 4
	lines, order := map[string]string{}, []string{}
	for _, tab := range tables {
		var n float64
		var kind string
		if _, err := fmt.Sscanf(tab.Input, "%g %s", &n, &kind); err != nil || !isGrown(tab.Input) {
			continue
		}
		for _, r := range tab.Results {
			name := r.Peer + ", " + kind + ", " + r.Scenario
			if lines[name] == "" {
				order = append(order, name)
			}
			lines[name] += fmt.Sprintf("%.0f,%.0f ", left+square*(math.Log10(n)-1), square*(height-1-math.Log10(r.Seconds)-1))
		}
	}
	colours := []string{"#3b7a57", "#c33", "#36c", "#c80", "#6a3", "#a3a", "#088", "#555"}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+square*2+420, square*height)
	for i := range height {
		y := square * i
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#ddd"/><text x="4" y="%d">%g s</text>`+"\n", left, y, left+2*square, y, y+12, math.Pow10(height-2-i))
	}
	for i, n := range growth {
		fmt.Fprintf(&b, `<line x1="%d" y1="0" x2="%d" y2="%d" stroke="#ddd"/><text x="%d" y="%d">%d</text>`+"\n", left+square*i, left+square*i, square*height-20, left+square*i-8, square*height-4, n)
	}
	for i, name := range order {
		colour := colours[i%len(colours)]
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%d" y="%d" fill="%s">%s</text>`+"\n", strings.TrimSpace(lines[name]), colour, left+square*2+20, 20+20*i, colour, name)
	}
	return b.String() + "</svg>\n"
}
